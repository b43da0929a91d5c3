"""One self-contained HTML page: the charts, captions, a slider and menus."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from matplotlib.image import imsave

from command_line.files import atomic_write
from gate_explorer.observation.observe import Observation
from gate_explorer.observation.time_bins import Array, TimeBins
from gate_explorer.panels.axes import line_colours, row_labels
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panel_types import CellPanels, LineChart, ModelPanels, Panel, Scale
from gate_explorer.render.chart_data import chart_data


def write_page(path: Path, observations: Sequence[Observation], title: str) -> None:
    """Write the page that shows ``observations`` of the same image, side by side.

    Raises:
        OSError: the file cannot be written.
    """
    content = render_page(observations, title).encode()
    with atomic_write(path) as file:
        file.write(content)


def render_page(observations: Sequence[Observation], title: str) -> str:
    """The page as HTML; ``title`` identifies the image."""
    models = build_panels(observations)
    bins, first = models[0].bins, observations[0]
    return Template(_resource("page.html")).substitute(
        title=escape(title),
        subtitle=escape(_subtitle(first)),
        thumbnail=_thumbnail(first.image),
        css=_resource("page.css"),
        js=_resource("charts.js") + _resource("page.js"),
        left_margin=_left_margin(models),
        num_bins=len(bins),
        last_bin=len(bins) - 1,
        layout="compared" if len(models) > 1 else "single",
        predictions="<span></span>" * len(models),
        models="\n".join(map(_model_section, models)),
        data=_page_data(models),
    )


def _resource(name: str) -> str:
    return (files("gate_explorer.render") / name).read_text(encoding="utf-8")


def _subtitle(observation: Observation) -> str:
    label = "" if observation.label is None else observation.class_names[observation.label]
    correct = f"Correct class: {label}. " if label else ""
    return (
        f"{correct}The model reads the image by {observation.sequence} in {observation.time} "
        "steps. Time runs from top to bottom in every panel. Move the slider to select a step."
    )


def _thumbnail(image: Array) -> str:
    """The upright image, black on white, as a data URI."""
    picture = io.BytesIO()
    imsave(picture, 255 - image, cmap="gray", vmin=0, vmax=255, format="png")
    return f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"


def _left_margin(models: Sequence[ModelPanels]) -> int:
    """The left margin in pixels that fits the longest row label, the same in every chart."""
    panels, bins = models[0].cells[0].all, models[0].bins
    return 16 + 6 * max(len(label) for panel in panels for label in row_labels(panel, bins))


def _model_section(model: ModelPanels) -> str:
    """One model: its name, menu and notes, and an empty element for each chart."""
    shown = model.cells[model.default_cell]
    options = "".join(
        f'<option value="{index}"{" selected" if cell is shown else ""}>{escape(cell.label)}'
        "</option>"
        for index, cell in enumerate(model.cells)
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in model.notes)
    observation = model.observation
    predicted = observation.class_names[observation.prediction]
    probability = observation.probabilities[-1].max()
    reads_pixels = observation.steps.shape[1] == 1
    dot = "<i></i>" if reads_pixels else ""  # shows which pixel of its row is read
    return (
        f'<section class="model"><div class="model-head"><h2>{escape(observation.name)}</h2>'
        f"<p>predicts {escape(predicted)} ({probability:.1%})</p>"
        f'<select aria-label="layer and direction" autocomplete="off">{options}</select>{notes}'
        f'</div><div class="overview">{_panel_articles(shown.overview, dot)}</div>'
        f'<div class="scales">{_colour_bars(shown)}</div>'
        f'<div class="internals">{_panel_articles(shown.internals)}</div></section>'
    )


def _panel_articles(panels: Iterable[Panel], dot: str = "") -> str:
    """Title, legend, empty chart, marker and caption of each panel.

    ``dot`` is the content of the input panel's marker.
    """
    return "".join(
        f'<article class="panel" data-key="{escape(panel.key)}"><h3>{escape(panel.title)}</h3>'
        f'{_legend(panel)}<div class="plot"><div class="chart"></div>'
        f'<div class="marker">{dot if panel.key == "input" else ""}</div>'
        f'</div><p class="caption">{escape(panel.caption)}</p></article>'
        for panel in panels
    )


def _legend(panel: Panel) -> str:
    """The names of a line chart's groups in their colours, and whether their lines are dotted.

    Heatmaps get an empty legend of the same height, so that all plots of a row are level.
    """
    if not isinstance(panel, LineChart):
        return '<div class="legend"></div>'
    styles = {
        name: {"dotted" if line.dashed else "solid" for line in panel.lines if line.group == name}
        for name in line_colours(panel)
    }
    names = (
        f'<b class="{" ".join(sorted(styles[name]))}" style="--colour: {colour}">{escape(name)}</b>'
        for name, colour in line_colours(panel).items()
    )
    return f'<div class="legend">{"".join(names)}</div>'


def _colour_bars(cell: CellPanels) -> str:
    """One colour bar for each scale of the heatmaps."""
    scales: dict[Scale, None] = dict.fromkeys(panel.scale for panel in cell.internals)
    return "".join(
        f'<span class="scale">{escape(scale.name)}: {scale.end_labels[0]}'
        f'<i style="background: linear-gradient(to right, {", ".join(scale.colours)})"></i>'
        f"{scale.end_labels[1]}</span>"
        for scale in scales
    )


def _page_data(models: Sequence[ModelPanels]) -> str:
    """The data that page.js draws, as JSON that is safe inside a script element."""
    bins = models[0].bins
    content = {
        "time": bins.time,
        "binLabels": bins.labels,
        "binPositions": _bin_positions(models[0].observation, bins),
        "models": [
            {
                "predictions": _prediction_texts(model.observation, bins),
                "cells": [
                    {
                        "charts": {panel.key: chart_data(panel, bins) for panel in cell.all},
                        "captions": {panel.key: panel.caption for panel in cell.all},
                    }
                    for cell in model.cells
                ],
            }
            for model in models
        ],
    }
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _bin_positions(observation: Observation, bins: TimeBins) -> list[float]:
    """The horizontal centre of each bin in its row of pixels, from 0 to 1."""
    pixels = observation.steps.size // observation.time  # of one step
    width = observation.image.shape[1]
    return [(first * pixels % width + pixels * bins.size / 2) / width for first in bins.first_steps]


def _prediction_texts(observation: Observation, bins: TimeBins) -> list[str]:
    """The predicted class and its probability after each bin."""
    return [
        f"{observation.name}: {observation.class_names[int(row.argmax())]} ({row.max():.0%})"
        for row in bins.last(observation.probabilities)
    ]
