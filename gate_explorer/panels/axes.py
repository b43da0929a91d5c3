"""Ticks, row labels and line colours of a panel, the same for every plotting library."""

import math
from itertools import cycle

import numpy as np

from gate_explorer.observation.time_bins import TimeBins
from gate_explorer.panels.panel_types import Heatmap, LineChart, Panel

LINE_COLOURS = ("#1b6ca8", "#c2571a", "#2d8a4e", "#8a3ffc", "#9a6700", "#b3246b")
MAX_TICKS = 7  # on a vertical axis


def row_labels(panel: Panel, bins: TimeBins) -> list[str]:
    """The labels of the panel's rows: time steps, or rows of pixels for the input panel."""
    if panel.key == "input":
        assert isinstance(panel, Heatmap)
        return [str(row) for row in range(1, len(panel.values) + 1)]
    return bins.labels


def row_kind(panel: Panel, bins: TimeBins) -> str:
    """What a row of the panel is, for the hover text."""
    if panel.key == "input":
        return "row"
    return "step" if bins.size == 1 else "steps"


def value_name(panel: Heatmap) -> str:
    """What a value of the heatmap is, for the hover text."""
    return {"input": "ink", "prediction": "probability"}.get(panel.key, panel.title)


def exponents_of_ticks(panel: LineChart) -> range:
    """The powers of ten that are ticks of a log scale, about five."""
    low, high = np.log10([panel.low, panel.high])
    step = max(1, round(float(high - low) / 4))
    return range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, step)


def line_colours(panel: LineChart) -> dict[str, str]:
    """The colour of each group of lines: {group: colour}."""
    groups = dict.fromkeys(line.group for line in panel.lines)
    return dict(zip(groups, cycle(LINE_COLOURS), strict=False))
