"""A heat map of ratios of times, on a log scale with 1 in the middle."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm

mpl.use("Agg")
import matplotlib.pyplot as plt

COLORS = "RdBu_r"
"""Blue is faster and red is slower: two hues that differ for every kind of colour blindness."""

LIMIT = 4.0
"""The colours end at this ratio and at its inverse, and are symmetrical on a log scale."""


@dataclass(frozen=True)
class Cell:
    """One value of the map and its place.

    Attributes:
        panel, line, column: the headings. Each is placed in the order in which it first occurs.
        value: the ratio; None is shown as a cross.
    """

    panel: str
    line: str
    column: str
    value: float | None


def draw(cells: Sequence[Cell], path: Path, title: str, label: str) -> None:
    """Write a PNG with one map for each panel.

    Args:
        cells: the values. A place without a cell is empty.
        path: the file.
        title: the heading.
        label: what the ratios are.
    """
    panels, lines, columns = (
        list(dict.fromkeys(getattr(cell, name) for cell in cells))
        for name in ("panel", "line", "column")
    )
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(4.2 + 0.76 * len(columns) * len(panels), 1.9 + 0.36 * len(lines)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        image = _panel(axis, [cell for cell in cells if cell.panel == panel], lines, columns)
        axis.set_title(panel, fontsize=11)
    axes[0, 0].set_yticks(range(len(lines)), lines)
    ticks = [1 / LIMIT, 1 / 2, 1 / 1.25, 1, 1.25, 2, LIMIT]
    bar = figure.colorbar(image, ax=axes, ticks=ticks, extend="both", pad=0.01, aspect=40)
    bar.minorticks_off()
    bar.set_ticklabels([f"{tick:g}" for tick in ticks])
    bar.set_label(f"{label} (log scale)")
    letters = int(12 * figure.get_figwidth())  # on one line, at this font size
    figure.suptitle(textwrap.fill(title, letters), fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(axis: Any, cells: Sequence[Cell], lines: list[str], columns: list[str]) -> Any:
    values = np.full((len(lines), len(columns)), np.nan)
    for cell in cells:
        place = lines.index(cell.line), columns.index(cell.column)
        if cell.value is None:
            axis.text(place[1], place[0], "×", ha="center", va="center", fontsize=12)
        else:
            values[place] = cell.value
    image = axis.imshow(
        np.ma.masked_invalid(values), COLORS, norm=LogNorm(1 / LIMIT, LIMIT), aspect="auto"
    )
    for (line, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = abs(np.log(value)) > 0.65 * np.log(LIMIT)
            color = "white" if dark else "black"
            text = f"{value:.2f}"
            axis.text(column, line, text, ha="center", va="center", color=color, fontsize=9)
    axis.set_xticks(range(len(columns)), [column.replace(" ", "\n", 1) for column in columns])
    axis.tick_params(length=0, labelsize=9)
    axis.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(lines) + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="minor", length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    return image
