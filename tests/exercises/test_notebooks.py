"""Each part as a notebook: generated from the exercises, without outputs, and executable."""

import ast
import json
import re
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from command_line.errors import ConfigError
from exercises import ExerciseFailedError
from exercises.exercise import all_exercises
from exercises.notebooks import cell_text, notebook, write_notebooks
from tests.exercises.helpers import EXERCISE, line_of, solution

PARTS = list(dict.fromkeys(entry.part for entry in all_exercises()))


class Executor:
    """Runs cells one after another, as IPython does: ``In`` holds the texts of the cells."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self.module.__dict__["In"] = self.history = [""]

    def run(self, text: str) -> Any:
        """Run a cell; the value of its last line, if that is an expression."""
        self.history.append(text)
        tree = ast.parse(text)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), self.module.__dict__)
        if last is None:
            return None
        assert isinstance(last, ast.Expr)
        code = compile(ast.Expression(last.value), "<cell>", "eval")
        return eval(code, self.module.__dict__)


def code_cells(part: str) -> list[str]:
    cells = notebook(part)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_notebook_runs_from_top_to_bottom(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    executor = Executor()
    entries = {entry.name: entry for entry in all_exercises() if entry.part == part}
    checked = []
    for text in code_cells(part):
        # As Jupyter does with cells that have the tag raises-exception.
        with suppress(NotImplementedError):
            value = executor.run(text)
        if text.startswith("check("):
            checked.append(value.result.exercise)
            assert value.result.status == "unwritten"
            if value.result.line == 0:  # a mistake to find
                first = int(re.findall(r"\d+", value.result.message)[0])
                given = entries[checked[-1]].template.regions[0].given[0]
                assert executor.history[-2].splitlines()[first - 1] == given
    assert checked == list(entries)
    assert "text/html" in value._repr_mimebundle_()  # the explorer's figure


@pytest.mark.parametrize("part", PARTS)
def test_a_notebook_has_the_format_of_jupyter_and_no_outputs(part: str) -> None:
    content = notebook(part)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(len(each) <= 64 for each in ids)
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    text = "\n".join(code_cells(part))
    for entry in all_exercises():
        if entry.part == part:
            for region in entry.template.regions:
                for line in region.solution:
                    assert not ("#" in line and "=" in line and line in text.splitlines()) or (
                        line in region.given
                    )


def test_a_cell_is_checked_and_answered_with_its_line() -> None:
    executor = Executor()
    executor.run("from exercises import check, hint")
    entry = next(entry for entry in all_exercises() if entry.name == EXERCISE)
    wrong = cell_text(entry, solution().replace("i * g", "i + g"))
    executor.run(wrong)
    answer = executor.run(f'check("{EXERCISE}", seed=1)')
    assert not answer.passed
    assert repr(answer).startswith(f"cell {EXERCISE}:{line_of(wrong, 'i + g')}  c_next = ")
    assert "i ⊙ g" in answer._repr_html_()
    with pytest.raises(ExerciseFailedError, match="should compute"):
        answer.raise_if_failed()
    executor.run(cell_text(entry, solution()))
    answer = executor.run(f'check("{EXERCISE}")')
    assert answer.passed
    answer.raise_if_failed()


def test_a_check_without_a_cell_is_an_error() -> None:
    executor = Executor()
    executor.run("from exercises import check, hint")
    with pytest.raises(
        RuntimeError, match=f"run the cell that begins with '# exercise: {EXERCISE}'"
    ):
        executor.run(f'check("{EXERCISE}")')
    with pytest.raises(ConfigError, match="did you mean lstm_step"):
        executor.run('check("lstm_stp")')


def test_notebooks_are_written_and_never_replaced(tmp_path: Path) -> None:
    written = write_notebooks(tmp_path / "notebooks")
    assert [path.stem for path, is_new in written if is_new] == PARTS
    first = written[0][0]
    assert json.loads(first.read_text(encoding="utf-8")) == notebook(PARTS[0])
    first.write_text("my work")
    assert not any(is_new for _, is_new in write_notebooks(tmp_path / "notebooks"))
    assert first.read_text() == "my work"


def test_the_checks_of_a_notebook_for_nbgrader_are_test_cells() -> None:
    (part,) = [entry.part for entry in all_exercises() if entry.name == EXERCISE]
    cells = {
        cell["metadata"]["nbgrader"]["grade_id"]: cell
        for cell in notebook(part, nbgrader=True)["cells"]
        if "nbgrader" in cell["metadata"]
    }
    names = [entry.name for entry in all_exercises() if entry.part == part]
    assert list(cells) == [each for name in names for each in (name, f"check_{name}")]
    answer, test = cells[EXERCISE], cells[f"check_{EXERCISE}"]
    assert answer["metadata"]["nbgrader"]["solution"]
    assert test["metadata"]["nbgrader"]["grade"]
    assert test["metadata"]["nbgrader"]["points"] == 1
    executor = Executor()
    executor.run("from exercises import check, hint")
    executor.run("".join(answer["source"]))
    with pytest.raises(ExerciseFailedError, match="not written yet"):
        executor.run("".join(test["source"]))
