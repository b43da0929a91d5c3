"""A class folder becomes one table: who passed what, and which line is wrong."""

import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from command_line.errors import ConfigError
from command_line.program import parse_arguments
from exercises.arguments import PROGRAM, Arguments
from exercises.command import main
from exercises.exercise import find_exercise
from exercises.notebooks import cell_text
from tests.exercises.helpers import EXERCISE, line_of, solution, with_body

OTHER = find_exercise("rnn_step")


def grade(*words: str) -> int:
    return main(parse_arguments(Arguments, PROGRAM, ["grade", *words]), Console(width=100))


@pytest.fixture
def class_folder(tmp_path: Path) -> Path:
    """Five students: right, wrong, an exercise missing, a notebook, and code that cannot run."""
    files = {
        f"ada/part_3_gates/{EXERCISE}.py": solution(),
        f"ada/{OTHER.name}.py": OTHER.template.solution(),
        f"ada/backups/{EXERCISE}.2026.py": "not graded",
        f"ben/work/{EXERCISE}.py": solution().replace("i * g", "i + g"),
        f"ben/work/{OTHER.name}.py": OTHER.template.learners_copy(),
        f"cyd/{EXERCISE}.py": with_body("return (h"),
        ".git/eve/lstm_step.py": "not a student",
    }
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# exercise: lstm_step"]},
            {"cell_type": "code", "source": cell_text(find_exercise(EXERCISE), solution())},
            {"cell_type": "code", "source": ["x = 1\n", "y = 2"]},
        ]
    }
    files["dan/part_3.ipynb"] = json.dumps(notebook)
    files["fay/part_3.ipynb"] = "damaged"
    for name, text in files.items():
        path = tmp_path / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "class"


def test_a_class_is_graded_into_one_table(
    class_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, results = class_folder.parent / "grades.csv", class_folder.parent / "grades.json"
    assert grade(str(class_folder), "--csv", str(table), "--json", str(results)) == 0
    with table.open(encoding="utf-8", newline="") as file:
        rows = {(row["student"], row["exercise"]): row for row in csv.DictReader(file)}
    assert {student: rows[student, EXERCISE]["status"] for student in ("ada", "ben", "cyd")} == {
        "ada": "passed",
        "ben": "failed",
        "cyd": "error",
    }
    assert rows["dan", EXERCISE]["status"] == "passed"
    assert rows["fay", EXERCISE]["status"] == "missing"
    assert rows["ben", OTHER.name]["status"] == "unwritten"
    assert rows["cyd", OTHER.name]["status"] == "missing"
    assert len(rows) == 5 * 2
    wrong = rows["ben", EXERCISE]
    assert wrong["line"] == str(line_of(solution(), "i * g"))
    assert wrong["source"].startswith("c_next = f * c + i + g")
    assert wrong["should_compute"] == "c' = f ⊙ c + i ⊙ g"
    assert len({row["seed"] for row in rows.values()}) == 1
    assert json.loads(results.read_text())["ada"][0]["status"] == "passed"
    printed = capsys.readouterr().out
    assert "ada  2 of 2 passed" in printed
    assert f"{EXERCISE}:{wrong['line']}  failed: " in printed
    assert f"1 x  {EXERCISE}: should compute c' = f ⊙ c + i ⊙ g" in printed


def test_a_folder_without_submissions_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    with pytest.raises(ConfigError, match="contains no submission: expected one folder for each"):
        grade(str(tmp_path))
