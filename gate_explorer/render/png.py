"""The same panels as a static picture, for papers and slides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure

from command_line.files import atomic_write
from gate_explorer.observation.observe import Observation
from gate_explorer.observation.time_bins import Rows
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panels import Curves, Heat, Panel, RunPanels, Scale
from gate_explorer.render.plotly_charts import TICKS, line_colours, row_labels

WIDTH, HEIGHT = 13.0, 5.4  # inches, of one run
DPI = 110
FEWEST = 5  # columns: a single heatmap is drawn no wider than the digit


def write_picture(path: Path, observations: Sequence[Observation], title: str) -> None:
    """Write the picture of ``observations``, one below the other, as a PNG.

    Of each run the cell is shown that gives the answer: the last layer, forward.

    Raises:
        OSError: the file cannot be written.
    """
    figure = draw_picture(observations, title)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=DPI)


def draw_picture(observations: Sequence[Observation], title: str) -> Figure:
    """The picture of :func:`write_picture` as a matplotlib figure."""
    runs = build_panels(observations)
    figure = Figure(figsize=(WIDTH, HEIGHT * len(runs)), layout="constrained")
    parts = figure.subfigures(len(runs), 1, squeeze=False)[:, 0]
    for part, run in zip(parts, runs, strict=True):
        _draw_run(part, run, title)
    return figure


def _draw_run(part: SubFigure, run: RunPanels, title: str) -> None:
    observation = run.observation
    forward = [
        panels
        for panels, cell in zip(run.cells, observation.cells, strict=True)
        if not cell.reverse
    ]
    cell = forward[-1]
    answer = observation.class_names[observation.answer]
    part.suptitle(f"{observation.name}, {cell.label}: {title}, answers {answer}", fontsize=12)
    above, below = part.subfigures(2, 1, squeeze=False)[:, 0]
    _draw_row(above, cell.overview, run.rows)
    _draw_row(below, cell.inside, run.rows)


def _draw_row(part: SubFigure, panels: Sequence[Panel], rows: Rows) -> None:
    every_axes = part.subplots(1, max(len(panels), FEWEST), squeeze=False)[0]
    for axes in every_axes[len(panels) :]:
        axes.axis("off")
    seen: set[Scale] = set()
    for axes, panel in zip(every_axes, panels, strict=False):
        axes.set_title(panel.title, fontsize=10)
        axes.tick_params(labelsize=8)
        if isinstance(panel, Heat):
            image = _draw_heat(axes, panel)
            if panel.of == "unit" and panel.scale not in seen:  # one colour bar for each kind
                seen.add(panel.scale)
                _draw_colour_bar(axes, image, panel.scale)
        else:
            _draw_curves(axes, panel)
        labels = row_labels(panel, rows)
        every = -(-len(labels) // TICKS)
        axes.set_yticks(range(0, len(labels), every), labels[::every])
        axes.set_ylim(len(labels) - 0.5, -0.5)


def _draw_colour_bar(axes: Any, image: Any, scale: Scale) -> None:
    """Directly below the first heatmap that has this scale."""
    bar = axes.figure.colorbar(
        image, cax=axes.inset_axes((0, -0.13, 1, 0.05)), orientation="horizontal"
    )
    bar.set_ticks([scale.low, scale.high], labels=list(scale.ends), fontsize=8)
    bar.set_label(scale.name, fontsize=8, labelpad=-8)


def _draw_heat(axes: Any, panel: Heat) -> Any:
    if panel.of == "class":
        axes.set_xticks(range(len(panel.columns)), panel.columns)
    else:
        axes.set_xticks([])
    return axes.imshow(
        panel.values,
        aspect="auto",
        interpolation="nearest",
        cmap=LinearSegmentedColormap.from_list(panel.scale.name, panel.scale.colours),
        vmin=panel.scale.low,
        vmax=panel.scale.high,
    )


def _draw_curves(axes: Any, panel: Curves) -> None:
    colours = line_colours(panel)
    for line in panel.lines:
        axes.plot(
            line.values,
            np.arange(len(line.values)),
            color=colours[line.of],
            linestyle=":" if line.dashed else "-",
            label=line.of if line.which != "shut" else None,
        )
    axes.set_xlim(panel.low, panel.high)
    axes.grid(axis="x", alpha=0.3)
    if panel.log:
        axes.set_xscale("log")
    else:
        axes.set_xticks([-1, 0, 1], ["100 %\nshut", "0", "100 %\nopen"])
    if panel.lines:
        axes.legend(fontsize=7, frameon=False)
