"""Panels as plotly traces and axes, for the figure in a notebook.

The vertical axes count time bins from the top: bin b covers b - 0.5 to b + 0.5.
"""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from gate_explorer.observation.time_bins import TimeBins
from gate_explorer.panels.axes import (
    MAX_TICKS,
    exponents_of_ticks,
    line_colours,
    row_kind,
    row_labels,
    value_name,
)
from gate_explorer.panels.panel_types import Heatmap, LineChart, Panel, Scale


def plotly_traces(panel: Panel, bins: TimeBins) -> list[Any]:
    """The panel's plotly traces, without axes."""
    if isinstance(panel, Heatmap):
        return [_heatmap_trace(panel, bins)]
    return _line_traces(panel, bins)


def horizontal_axis(panel: Panel) -> dict[str, Any]:
    """The layout of the panel's horizontal axis."""
    axis: dict[str, Any] = {"fixedrange": True, "zeroline": False, "ticks": "outside", "ticklen": 3}
    if isinstance(panel, Heatmap):
        titles = {"unit": "units, sorted by peak step"}
        return axis | {
            "type": "category",
            "range": [-0.5, len(panel.columns) - 0.5],
            "showticklabels": panel.column_kind == "class",
            "ticks": "",
            "showgrid": False,
            "tickangle": -90 if max(map(len, panel.columns)) > 2 else 0,
            "title": {
                "text": titles.get(panel.column_kind, panel.column_kind),
                "standoff": 6,
            },
        }
    if panel.log:
        exponents = np.log10([panel.low, panel.high])
        return axis | {
            "type": "log",
            "range": exponents.tolist(),
            "dtick": exponents_of_ticks(panel).step,
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


def vertical_axis(panel: Panel, bins: TimeBins) -> dict[str, Any]:
    """The layout of the panel's vertical axis: the whole sequence, from the top."""
    labels = row_labels(panel, bins)
    return {
        "type": "category",
        "range": [len(labels) - 0.5, -0.5],
        "tickvals": labels[:: -(-len(labels) // MAX_TICKS)],
        "fixedrange": True,
        "zeroline": False,
        "showgrid": False,
        "ticks": "outside",
        "ticklen": 3,
    }


def plotly_colour_scale(scale: Scale) -> list[list[Any]]:
    """The colours in plotly's form: [[0, first], ..., [1, last]]."""
    last = len(scale.colours) - 1
    return [[index / last, colour] for index, colour in enumerate(scale.colours)]


def _heatmap_trace(panel: Heatmap, bins: TimeBins) -> Any:
    value = value_name(panel)
    return go.Heatmap(
        z=panel.values.astype(np.float32),
        x=panel.columns,
        y=row_labels(panel, bins),
        zmin=panel.scale.low,
        zmax=panel.scale.high,
        colorscale=plotly_colour_scale(panel.scale),
        showscale=False,
        hovertemplate=(
            f"{panel.column_kind} %{{x}}<br>{row_kind(panel, bins)} %{{y}}<br>"
            f"{value} %{{z:.3f}}<extra></extra>"
        ),
    )


def _line_traces(panel: LineChart, bins: TimeBins) -> list[Any]:
    value = "%{x:.2e}" if panel.log else "%{customdata:.0%}"
    colours = line_colours(panel)
    return [
        go.Scatter(
            x=line.values.astype(np.float32),
            y=row_labels(panel, bins),
            customdata=np.abs(line.values).astype(np.float32),
            name=line.name,
            mode="lines",
            line={
                "color": colours[line.group],
                "width": 1.8,
                "dash": "dot" if line.dashed else "solid",
            },
            hovertemplate=(
                f"{line.name}<br>{row_kind(panel, bins)} %{{y}}<br>{value}<extra></extra>"
            ),
        )
        for line in panel.lines
    ]
