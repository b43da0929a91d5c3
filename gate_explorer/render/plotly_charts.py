"""Panels drawn with plotly: each as a chart of its own, or all in one figure for a notebook.

The vertical axes are in rows of the picture: row r covers r - 0.5 to r + 0.5, row 0 at the top.
"""

from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from gate_explorer.observation.time_bins import Rows
from gate_explorer.panels.panels import Curves, Heat, Panel, Scale

LINE_COLOURS = ("#1b6ca8", "#c2571a", "#2d8a4e", "#8a3ffc", "#9a6700", "#b3246b")
TICKS = 7


def traces(panel: Panel, rows: Rows) -> list[Any]:
    """The panel's plotly traces, without axes."""
    return [_heatmap(panel, rows)] if isinstance(panel, Heat) else _curves(panel, rows)


def horizontal_axis(panel: Panel) -> dict[str, Any]:
    """The layout of the panel's horizontal axis."""
    axis: dict[str, Any] = {"fixedrange": True, "zeroline": False, "ticks": "outside", "ticklen": 3}
    if isinstance(panel, Heat):
        return axis | {
            "type": "category",
            "range": [-0.5, len(panel.columns) - 0.5],
            "showticklabels": panel.of == "class",
            "ticks": "",
            "showgrid": False,
            "tickangle": -90 if max(map(len, panel.columns)) > 2 else 0,
            "title": {
                "text": {"unit": "units, by when they peak"}.get(panel.of, panel.of),
                "standoff": 6,
            },
        }
    if panel.log:
        exponents = np.log10([panel.low, panel.high])
        return axis | {
            "type": "log",
            "range": exponents.tolist(),
            "dtick": max(1, round(float(np.ptp(exponents)) / 4)),
            "exponentformat": "power",
            "gridcolor": "#e5e5e5",
        }
    return axis | {
        "range": [panel.low, panel.high],
        "tickvals": [-1, -0.5, 0, 0.5, 1],
        "ticktext": ["100", "50", "0", "50", "100"],
        "zeroline": True,
        "zerolinecolor": "#999",
        "gridcolor": "#e5e5e5",
        "title": {"text": "% shut | % open", "standoff": 6},
    }


def row_labels(panel: Panel, rows: Rows) -> list[str]:
    """What each row of the panel is called: its steps; of the digit, its row of pixels."""
    if panel.key == "digit":
        assert isinstance(panel, Heat)
        return [str(row) for row in range(len(panel.values))]
    return rows.labels


def vertical_axis(panel: Panel, rows: Rows) -> dict[str, Any]:
    """The layout of the panel's vertical axis: the whole sequence, from the top."""
    labels = row_labels(panel, rows)
    return {
        "type": "category",
        "range": [len(labels) - 0.5, -0.5],
        "tickvals": labels[:: -(-len(labels) // TICKS)],
        "fixedrange": True,
        "zeroline": False,
        "showgrid": False,
        "ticks": "outside",
        "ticklen": 3,
    }


def colour_scale(scale: Scale) -> list[list[Any]]:
    """The colours as plotly wants them: [[0, first], ..., [1, last]]."""
    last = len(scale.colours) - 1
    return [[place / last, colour] for place, colour in enumerate(scale.colours)]


def _heatmap(panel: Heat, rows: Rows) -> Any:
    value = {"digit": "ink", "answer": "probability"}.get(panel.key, panel.title)
    return go.Heatmap(
        z=panel.values.astype(np.float32),
        x=panel.columns,
        y=row_labels(panel, rows),
        zmin=panel.scale.low,
        zmax=panel.scale.high,
        colorscale=colour_scale(panel.scale),
        showscale=False,
        hovertemplate=(
            f"{panel.of} %{{x}}<br>{_step(panel, rows)} %{{y}}<br>{value} %{{z:.3f}}<extra></extra>"
        ),
    )


def _curves(panel: Curves, rows: Rows) -> list[Any]:
    value = "%{x:.2e}" if panel.log else "%{customdata:.0%}"
    colours = line_colours(panel)
    return [
        go.Scatter(
            x=line.values.astype(np.float32),
            y=row_labels(panel, rows),
            customdata=np.abs(line.values).astype(np.float32),
            name=line.name,
            mode="lines",
            line={
                "color": colours[line.of],
                "width": 1.8,
                "dash": "dot" if line.dashed else "solid",
            },
            hovertemplate=f"{line.name}<br>{_step(panel, rows)} %{{y}}<br>{value}<extra></extra>",
        )
        for line in panel.lines
    ]


def line_colours(panel: Curves) -> dict[str, str]:
    """The colour of everything that the panel has a line, or a pair of lines, for."""
    names = dict.fromkeys(line.of for line in panel.lines)
    return dict(zip(names, cycle(LINE_COLOURS), strict=False))


def _step(panel: Panel, rows: Rows) -> str:
    if panel.key == "digit":
        return "row"
    return "step" if rows.size == 1 else "steps"
