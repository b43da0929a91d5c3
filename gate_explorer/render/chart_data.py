"""Panels as JSON for charts.js, which draws them on the page."""

import base64
from typing import Any

import numpy as np

from gate_explorer.observation.time_bins import Array, TimeBins
from gate_explorer.panels.axes import (
    MAX_TICKS,
    exponents_of_ticks,
    line_colours,
    row_kind,
    row_labels,
    value_name,
)
from gate_explorer.panels.panel_types import Heatmap, LineChart, Panel

MAX_UPRIGHT = 2  # characters of a class name; longer ones are written from the top to the bottom


def chart_data(panel: Panel, bins: TimeBins) -> dict[str, Any]:
    """The values, axes and hover texts of a panel. Positions on an axis are from 0 to 1."""
    labels = row_labels(panel, bins)
    every = -(-len(labels) // MAX_TICKS)
    kind = row_kind(panel, bins)
    own = _heatmap(panel) if isinstance(panel, Heatmap) else _line_chart(panel)
    rows = {"labels": labels, "kind": kind, "ticks": list(range(0, len(labels), every))}
    return {"title": panel.title, "rows": rows, **own}


def _heatmap(panel: Heatmap) -> dict[str, Any]:
    are_classes = panel.column_kind == "class"
    names = panel.columns if are_classes else ()
    ticks = [[(number + 0.5) / len(names), name] for number, name in enumerate(names)]
    upright = max(map(len, names), default=0) <= MAX_UPRIGHT
    titles = {"unit": "units, sorted by peak step", "class": "class" if upright else ""}
    return {
        "values": _base64(panel.values),
        "columns": list(panel.columns),
        "columnKind": panel.column_kind,
        "valueName": value_name(panel),
        "low": panel.scale.low,
        "high": panel.scale.high,
        "colours": list(panel.scale.colours),
        "ticks": ticks,
        "upright": upright,
        "axisTitle": titles.get(panel.column_kind, panel.column_kind),
    }


def _line_chart(panel: LineChart) -> dict[str, Any]:
    colours = line_colours(panel)
    low, high = np.log10([panel.low, panel.high]) if panel.log else (panel.low, panel.high)
    if panel.log:
        ticks = [
            [float((each - low) / (high - low)), ["10", str(each)]]
            for each in exponents_of_ticks(panel)
        ]
    else:
        ticks = [[each / 4, text] for each, text in enumerate(("100", "50", "0", "50", "100"))]
    lines = [
        {
            "name": line.name,
            "colour": colours[line.group],
            "dashed": line.dashed,
            "values": _base64(line.values),
            "positions": _base64(_positions(line.values, panel)),
        }
        for line in panel.lines
    ]
    title = "" if panel.log else "% shut | % open"
    return {"lines": lines, "log": panel.log, "ticks": ticks, "upright": True, "axisTitle": title}


def _positions(values: Array, panel: LineChart) -> Array:
    """Where the values are on the horizontal axis, from 0 to 1."""
    ends = np.array([panel.low, panel.high], dtype=float)
    if panel.log:
        values, ends = np.log10(values), np.log10(ends)
    positions: Array = (values - ends[0]) / (ends[1] - ends[0])
    return positions


def _base64(values: Array) -> str:
    """The values as little-endian float32, row by row, in base64."""
    return base64.b64encode(values.astype(np.dtype("<f4")).tobytes()).decode()
