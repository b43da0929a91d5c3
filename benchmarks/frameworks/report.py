"""The results of ``benchmarks.frameworks`` as a Markdown table and as a picture."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.frameworks.contenders import SCRATCH
from benchmarks.frameworks.measure import Row
from benchmarks.heat_map import Cell, draw


def markdown(rows: Sequence[Row]) -> str:
    """A table with a line for each phase of a task and a column for each framework.

    A cell has the framework's median milliseconds and, in brackets, the median of this project's
    time divided by it: below 1, this project is faster.
    """
    frameworks = list(dict.fromkeys(row.framework for row in rows))
    table = [["task", "layer", "phase", *frameworks]]
    for place in dict.fromkeys((row.task, row.kind, row.phase) for row in rows):
        cells = {
            row.framework: _cell(row) for row in rows if (row.task, row.kind, row.phase) == place
        }
        table.append([*place, *(cells.get(name, "") for name in frameworks)])
    return markdown_table(table)


def markdown_table(table: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is its heading."""
    lines = [f"| {' | '.join(line)} |" for line in table]
    return "\n".join([lines[0], "|---" * len(table[0]) + "|", *lines[1:]])


def _cell(row: Row) -> str:
    if row.problem:
        return "failed"
    milliseconds = f"{row.milliseconds:.3g} ms"
    if row.framework == SCRATCH or row.median is None:
        return milliseconds
    return f"{milliseconds} ({row.median:.2f})"


def draw_rows(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw a heat map with a panel for each kind of layer."""
    cells = [
        Cell(row.kind, f"{row.task}, {row.phase}", row.framework, row.median)
        for row in rows
        if row.framework != SCRATCH and (row.problem or row.median is not None)
    ]
    draw(cells, path, title, label=f"time of {SCRATCH} / time of the framework")
