"""A heat map of time ratios: a line for each case, a column for each cell and phase."""

from collections.abc import Sequence
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

Table = Sequence[dict[str, Any]]


def draw(rows: Table, path: Path, title: str) -> None:
    """Write a PNG with a panel for each setting of the allocator.

    Args:
        rows: dictionaries with allocator, case, kind, phase and median. A median of None is shown
            as a cross.
        path: the file.
        title: the heading.
    """
    allocators, cases, columns = (
        list(dict.fromkeys(key(row) for row in rows))
        for key in (_allocator, _case, lambda row: (row["kind"], row["phase"]))
    )
    figure, axes = plt.subplots(
        1,
        len(allocators),
        figsize=(4.2 + 4.6 * len(allocators), 1.9 + 0.36 * len(cases)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, allocator in zip(axes[0], allocators, strict=True):
        image = _panel(axis, [row for row in rows if _allocator(row) == allocator], cases, columns)
        axis.set_title(f"allocator: {allocator}", fontsize=11)
    axes[0, 0].set_yticks(range(len(cases)), cases)
    ticks = [1 / LIMIT, 1 / 2, 1 / 1.25, 1, 1.25, 2, LIMIT]
    bar = figure.colorbar(image, ax=axes, ticks=ticks, extend="both", pad=0.01, aspect=40)
    bar.minorticks_off()
    bar.set_ticklabels([f"{tick:g}" for tick in ticks])
    bar.set_label("time / torch.nn (log scale)")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _allocator(row: dict[str, Any]) -> str:
    return str(row["allocator"])


def _case(row: dict[str, Any]) -> str:
    return str(row["case"])


def _panel(axis: Any, rows: Table, cases: list[str], columns: list[tuple[str, str]]) -> Any:
    values = np.full((len(cases), len(columns)), np.nan)
    for row in rows:
        place = cases.index(row["case"]), columns.index((row["kind"], row["phase"]))
        if row["median"] is None:
            axis.text(place[1], place[0], "×", ha="center", va="center", fontsize=12)
        else:
            values[place] = row["median"]
    image = axis.imshow(
        np.ma.masked_invalid(values), COLORS, norm=LogNorm(1 / LIMIT, LIMIT), aspect="auto"
    )
    for (line, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = abs(np.log(value)) > 0.65 * np.log(LIMIT)
            color = "white" if dark else "black"
            text = f"{value:.2f}"
            axis.text(column, line, text, ha="center", va="center", color=color, fontsize=9)
    axis.set_xticks(range(len(columns)), [f"{kind}\n{phase}" for kind, phase in columns])
    axis.tick_params(length=0, labelsize=9)
    axis.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(cases) + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="minor", length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    return image
