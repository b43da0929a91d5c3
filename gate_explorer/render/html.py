"""One self-contained HTML page: plotly.js, the charts, the words, a slider and menus."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]
from matplotlib.image import imsave
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from command_line.files import atomic_write
from gate_explorer.observation.observe import Observation
from gate_explorer.observation.time_bins import Array, Rows
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panels import CellPanels, Curves, Panel, RunPanels, Scale
from gate_explorer.render.plotly_charts import (
    horizontal_axis,
    line_colours,
    row_labels,
    traces,
    vertical_axis,
)

TOP, RIGHT, BOTTOM = 6, 14, 34
"""Margins of a chart in pixels; page.css has them too, for the markers."""


def write_page(path: Path, observations: Sequence[Observation], title: str) -> None:
    """Write the page that shows ``observations``, of the same image, side by side.

    Raises:
        OSError: the file cannot be written.
    """
    content = page(observations, title).encode()
    with atomic_write(path) as file:
        file.write(content)


def page(observations: Sequence[Observation], title: str) -> str:
    """The page as HTML; ``title`` says which image it is."""
    runs = build_panels(observations)
    rows, first = runs[0].rows, observations[0]
    return Template(_resource("page.html")).substitute(
        title=escape(title),
        subtitle=escape(_subtitle(first)),
        thumbnail=_thumbnail(first.image),
        css=_resource("page.css"),
        js=_resource("page.js"),
        plotly=get_plotlyjs(),
        left=_left(runs),
        rows=len(rows),
        last_row=len(rows) - 1,
        layout="compared" if len(runs) > 1 else "alone",
        answers="<span></span>" * len(runs),
        runs="\n".join(map(_section, runs)),
        data=_data(runs),
    )


def _resource(name: str) -> str:
    return (files("gate_explorer.render") / name).read_text(encoding="utf-8")


def _subtitle(observation: Observation) -> str:
    label = "" if observation.label is None else observation.class_names[observation.label]
    truth = f"The image is a {label}. " if label else ""
    return (
        f"{truth}Read by {observation.sequence} in {observation.time} steps, from the top of every "
        "panel to the bottom: move the slider to follow."
    )


def _thumbnail(image: Array) -> str:
    """The upright image, black on white, as a data URI."""
    picture = io.BytesIO()
    imsave(picture, 255 - image, cmap="gray", vmin=0, vmax=255, format="png")
    return f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"


def _left(runs: Sequence[RunPanels]) -> int:
    """The left margin that the longest row label needs, the same in every chart."""
    panels = runs[0].cells[0].all
    return 16 + 6 * max(len(label) for panel in panels for label in row_labels(panel, runs[0].rows))


def _section(run: RunPanels) -> str:
    """One run: its name, menu and notes, and a place for each chart."""
    first = run.cells[0]
    options = "".join(
        f'<option value="{number}">{escape(cell.label)}</option>'
        for number, cell in enumerate(run.cells)
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in run.notes)
    observation = run.observation
    answer = observation.class_names[observation.answer]
    certainty = observation.probabilities[-1].max()
    dot = "<i></i>" if observation.steps.shape[1] == 1 else ""  # which pixel of its row
    return (
        f'<section class="run"><div class="run-head"><h2>{escape(observation.name)}</h2>'
        f"<p>answers {escape(answer)} ({certainty:.1%})</p>"
        f'<select aria-label="layer and direction" autocomplete="off">{options}</select>{notes}'
        f'</div><div class="overview">{_places(first.overview, dot)}</div>'
        f'<div class="scales">{_colour_bars(first)}</div>'
        f'<div class="inside">{_places(first.inside)}</div></section>'
    )


def _places(panels: Iterable[Panel], dot: str = "") -> str:
    """A place for each panel; ``dot`` stands in the digit's marker."""
    return "".join(
        f'<article class="panel" data-key="{escape(panel.key)}"><h3>{escape(panel.title)}</h3>'
        f'{_legend(panel)}<div class="plot"><div class="chart"></div>'
        f'<div class="marker">{dot if panel.key == "digit" else ""}</div>'
        f'</div><p class="words">{escape(panel.words)}</p></article>'
        for panel in panels
    )


def _legend(panel: Panel) -> str:
    """The names of the panel's lines in their colours; empty, but as high, in the panels beside."""
    if not isinstance(panel, Curves):
        return '<div class="legend"></div>'
    names = (
        f'<b style="--colour: {colour}">{escape(name)}</b>'
        for name, colour in line_colours(panel).items()
    )
    return f'<div class="legend">{"".join(names)}</div>'


def _colour_bars(cell: CellPanels) -> str:
    """One colour bar for each kind of heatmap."""
    scales: dict[Scale, None] = dict.fromkeys(panel.scale for panel in cell.inside)
    return "".join(
        f'<span class="scale">{escape(scale.name)}: {scale.ends[0]}'
        f'<i style="background: linear-gradient(to right, {", ".join(scale.colours)})"></i>'
        f"{scale.ends[1]}</span>"
        for scale in scales
    )


def _data(runs: Sequence[RunPanels]) -> str:
    """What page.js draws from, as JSON that may stand inside a script element."""
    left, rows = _left(runs), runs[0].rows
    content = {
        "rows": rows.labels,
        "columns": _columns(runs[0].observation, rows),
        "runs": [
            {
                "answers": _answers(run.observation, rows),
                "cells": [
                    {"charts": {panel.key: _chart(panel, rows, left) for panel in cell.all}}
                    for cell in run.cells
                ],
            }
            for run in runs
        ],
    }
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _columns(observation: Observation, rows: Rows) -> list[float]:
    """Where in its row of the digit each step is, from 0 to 1."""
    pixels = observation.steps.size // observation.time
    width = observation.image.shape[1]
    return [(start * pixels % width + pixels * rows.size / 2) / width for start in rows.starts]


def _answers(observation: Observation, rows: Rows) -> list[str]:
    """In a few words, what the model would answer after each row."""
    return [
        f"{observation.name}: {observation.class_names[int(now.argmax())]} ({now.max():.0%})"
        for now in rows.last(observation.probabilities)
    ]


def _chart(panel: Panel, rows: Rows, left: int) -> Any:
    layout = {
        "xaxis": horizontal_axis(panel),
        "yaxis": vertical_axis(panel, rows),
        "margin": {"l": left, "r": RIGHT, "t": TOP, "b": BOTTOM},
        "font": {"size": 10},
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {"font": {"size": 12}},
        "plot_bgcolor": "#fff",
    }
    figure = go.Figure(traces(panel, rows), layout, layout_template="none")
    return json.loads(figure.to_json())
