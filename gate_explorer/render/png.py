"""The panels as a static PNG image, drawn with matplotlib, for papers and slides."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure

from command_line.files import atomic_write
from gate_explorer.observation.observe import Observation
from gate_explorer.observation.time_bins import TimeBins
from gate_explorer.panels.axes import (
    MAX_TICKS,
    exponents_of_ticks,
    line_colours,
    row_labels,
)
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panel_types import Heatmap, LineChart, ModelPanels, Panel, Scale

WIDTH, HEIGHT = 13.0, 5.4  # inches, of one model
DPI = 110
MIN_COLUMNS = 5  # of a row of panels: a single heatmap is as wide as the input image


def write_png(path: Path, observations: Sequence[Observation], title: str) -> None:
    """Draw the panels of ``observations``, one model below the other, into a PNG file.

    Only the last layer's forward direction is shown.

    Raises:
        OSError: the file cannot be written.
    """
    with plain_names():
        figure = draw_figure(observations, title)
        with atomic_write(path) as file:
            figure.savefig(file, format="png", dpi=DPI)


def plain_names() -> AbstractContextManager[None]:
    """Draw a name with dollar signs unchanged: matplotlib otherwise parses a formula in it."""
    return rc_context({"text.parse_math": False})


def draw_figure(observations: Sequence[Observation], title: str) -> Figure:
    """The image of ``write_png`` as a matplotlib figure."""
    models = build_panels(observations)
    figure = Figure(figsize=(WIDTH, HEIGHT * len(models)), layout="constrained")
    subfigures = figure.subfigures(len(models), 1, squeeze=False)[:, 0]
    for subfigure, model in zip(subfigures, models, strict=True):
        _draw_model(subfigure, model, title)
    return figure


def _draw_model(subfigure: SubFigure, model: ModelPanels, title: str) -> None:
    observation = model.observation
    cell = model.cells[model.default_cell]
    predicted = observation.class_names[observation.prediction]
    subfigure.suptitle(
        f"{observation.name}, {cell.label}: {title}, predicted {predicted}", fontsize=12
    )
    above, below = subfigure.subfigures(2, 1, squeeze=False)[:, 0]
    _draw_row(above, cell.overview, model.bins)
    _draw_row(below, cell.internals, model.bins)


def _draw_row(subfigure: SubFigure, panels: Sequence[Panel], bins: TimeBins) -> None:
    all_axes = subfigure.subplots(1, max(len(panels), MIN_COLUMNS), squeeze=False)[0]
    for axes in all_axes[len(panels) :]:
        axes.axis("off")
    scales_drawn: set[Scale] = set()
    for axes, panel in zip(all_axes, panels, strict=False):
        axes.set_title(panel.title, fontsize=10)
        axes.tick_params(labelsize=8)
        if isinstance(panel, Heatmap):
            image = _draw_heatmap(axes, panel)
            if panel.column_kind == "unit" and panel.scale not in scales_drawn:
                scales_drawn.add(panel.scale)
                _draw_colour_bar(axes, image, panel.scale)
        else:
            _draw_line_chart(axes, panel)
        labels = row_labels(panel, bins)
        every = -(-len(labels) // MAX_TICKS)
        axes.set_yticks(range(0, len(labels), every), labels[::every])
        axes.set_ylim(len(labels) - 0.5, -0.5)


def _draw_colour_bar(axes: Any, image: Any, scale: Scale) -> None:
    """Draw the colour bar directly below the first heatmap that uses the scale."""
    bar = axes.figure.colorbar(
        image, cax=axes.inset_axes((0, -0.13, 1, 0.05)), orientation="horizontal"
    )
    bar.set_ticks([scale.low, scale.high], labels=list(scale.end_labels), fontsize=8)
    # aligned inwards: the labels of two neighbouring bars do not touch
    for label, side in zip(bar.ax.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)
    bar.set_label(scale.name, fontsize=8, labelpad=-8)


def _draw_heatmap(axes: Any, panel: Heatmap) -> Any:
    if panel.column_kind == "class":
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


def _draw_line_chart(axes: Any, panel: LineChart) -> None:
    colours = line_colours(panel)
    for line in panel.lines:
        axes.plot(
            line.values,
            np.arange(len(line.values)),
            color=colours[line.group],
            linestyle=":" if line.dashed else "-",
            label=line.group if line.variant != "shut" else None,
        )
    axes.set_xlim(panel.low, panel.high)
    axes.grid(axis="x", alpha=0.3)
    if panel.log:
        axes.set_xscale("log")
        exponents = exponents_of_ticks(panel)
        axes.set_xticks([10.0**each for each in exponents], [f"1e{each}" for each in exponents])
        axes.set_xticks([], minor=True)
    else:
        axes.set_xticks([-1, 0, 1], ["100 %\nshut", "0", "100 %\nopen"])
    if any(line.variant == "shut" for line in panel.lines):
        axes.plot([], color="grey", linestyle="-", label="open")
        axes.plot([], color="grey", linestyle=":", label="shut")
    if panel.lines:
        axes.legend(fontsize=7, frameon=False)
