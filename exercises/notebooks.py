"""Write each part of the course as a notebook, from the same files as the exercises."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from command_line.files import atomic_write, write_errors_as_config_errors
from exercises.exercise import Entry, all_exercises, part_title
from exercises.notebook_cells import MARK

Cell = dict[str, Any]

PROGRAM = '\nif __name__ == "__main__":\n'

IMPORTS = "from exercises import check, hint"

GATES = """\
from pathlib import Path

import torch

from gate_explorer import explore
from scratch_cells import LSTM
from sequenced_mnist import load_images
from shared_interface import SequenceClassifier

torch.manual_seed(0)
images = load_images("digits", Path("data"))
model = SequenceClassifier(LSTM(8, 16, batch_first=True), num_classes=10)
explore(model, images.test_images[0])"""


def notebook(part: str, nbgrader: bool = False) -> dict[str, Any]:
    """One part as a notebook in nbformat 4.5, without outputs.

    Args:
        part: the name of the part's folder, such as ``part_3_gates``.
        nbgrader: whether the checks are test cells of nbgrader, one point each.
    """
    cells = [
        _markdown(
            f"# {part_title(part)}\n\nComplete each cell that begins with `{MARK}...`, run it, and "
            "run the check below it. `hint(name, level)` shows hints, levels 1 to 3."
        ),
        _code(IMPORTS),
    ]
    for entry in all_exercises():
        if entry.part == part:
            cells += _graded_cells(entry) if nbgrader else _exercise_cells(entry)
    cells += [] if nbgrader else _explorer_cells()
    numbered = [{**cell, "id": f"{part}-{n}"} for n, cell in enumerate(cells)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": numbered,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _explorer_cells() -> list[Cell]:
    return [
        _markdown(
            "## The gates of a layer\n\nThe explorer shows each gate and state while an LSTM reads "
            "a digit, here before training. For a trained model, give the folder of its run: "
            '`explore("runs/NAME", label=7)`.'
        ),
        _code(GATES),
    ]


def _exercise_cells(entry: Entry) -> list[Cell]:
    """The explanation, the answer, its check, and how to run the experiment if there is one."""
    explanation = entry.docstring.partition("\n")[2].strip()
    _, _, program = entry.template.learners_copy().partition(PROGRAM)
    answer = _code(cell_text(entry, entry.template.learners_copy()))
    # Until it is written, a part at the level of a class raises when the cell is run.
    answer["metadata"]["tags"] = ["raises-exception"]
    cells = [
        _markdown(f"## {entry.number}. {entry.title}\n\n{explanation}"),
        answer,
        _code(f'check("{entry.name}")'),
    ]
    if program:
        text = textwrap.dedent(program).rstrip()
        cells.append(
            _markdown(
                "After the check has passed, run the experiment in a new cell:\n\n"
                f"```python\n{text}\n```"
            )
        )
    return cells


def _graded_cells(entry: Entry) -> list[Cell]:
    """The same cells with nbgrader's metadata; a check that fails raises an exception."""
    explanation, answer, _, *more = _exercise_cells(entry)
    test = _code(f'check("{entry.name}").raise_if_failed()')
    common = {"schema_version": 3, "task": False, "cell_type": "code"}
    answer["metadata"]["nbgrader"] = {
        **common,
        "grade_id": entry.name,
        "grade": False,
        "solution": True,
        "locked": False,
    }
    test["metadata"]["nbgrader"] = {
        **common,
        "grade_id": f"check_{entry.name}",
        "grade": True,
        "points": 1,
        "solution": False,
        "locked": True,
    }
    return [explanation, answer, test, *more]


def cell_text(entry: Entry, file: str) -> str:
    """The text of the cell for a file of the exercise: the code without the explanation.

    The program at the end of a file is left out too: a cell would run it before it is checked.
    """
    code = re.sub(r'\A"""(.*?)"""\n+', "", file, count=1, flags=re.DOTALL)
    return f"{MARK}{entry.name}\n{code.partition(PROGRAM)[0]}".rstrip()


def _markdown(text: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }


def write_notebooks(folder: Path, nbgrader: bool = False) -> list[tuple[Path, bool]]:
    """Write the notebooks of all parts; never replace a file.

    Args:
        folder: where; it is created.
        nbgrader: see ``notebook``.

    Returns:
        Each path, and whether it is new.

    Raises:
        ConfigError: a file cannot be written.
    """
    written = []
    for part in dict.fromkeys(entry.part for entry in all_exercises()):
        path = folder / f"{part}.ipynb"
        is_new = not path.exists()
        if is_new:
            text = json.dumps(notebook(part, nbgrader), indent=1, ensure_ascii=False) + "\n"
            with write_errors_as_config_errors("the folder", path):
                folder.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as file:
                    file.write(text.encode())
        written.append((path, is_new))
    return written
