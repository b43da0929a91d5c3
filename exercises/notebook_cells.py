"""The cells of a notebook that are exercises. Imports no torch."""

import json
from collections.abc import Iterable
from pathlib import Path

MARK = "# exercise: "
"""A cell whose first line is this and a name is the learner's answer to that exercise."""


def cells_by_name(cells: Iterable[str]) -> dict[str, str]:
    """The last cell of each exercise: name -> text, with the same line numbers as the cell."""
    found = {}
    for text in cells:
        first = text.partition("\n")[0]
        if first.startswith(MARK):
            found[first.removeprefix(MARK).strip()] = text
    return found


def cells_of_file(path: Path) -> dict[str, str]:
    """The exercises of a notebook file; none if the file is damaged."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return cells_by_name("".join(source) for source in code)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
