"""Every exercise: its stub, its solution, its wrong answers and its hints."""

import ast
from pathlib import Path

import pytest

from exercises.checking.judge import judge
from exercises.exercise import Entry, all_exercises
from exercises.result import Result, text_lines
from tests.exercises.wrong_answers import Wrong, wrong_answers, wrong_file

ENTRIES = all_exercises()
ANSWERS = [(entry, wrong) for entry in ENTRIES for wrong in wrong_answers(entry)]
SEED = 1
TRAINING_TIMEOUT = 40.0
"""The checks with this time limit or a higher one train a model."""
SOLUTIONS = [
    pytest.param(entry, marks=pytest.mark.slow)
    if entry.exercise.timeout >= TRAINING_TIMEOUT
    else entry
    for entry in ENTRIES
]


def check(entry: Entry, text: str, folder: Path) -> Result:
    """The result for a learner's file with this text."""
    path = folder / entry.file_name
    path.write_text(text, encoding="utf-8")
    return judge(entry, path, SEED)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_stub_names_what_to_write(entry: Entry, tmp_path: Path) -> None:
    stub = entry.template.learners_copy()
    result = check(entry, stub, tmp_path)
    assert result.status == "unwritten"
    lines = entry.template.lines_to_write()[0]
    if result.line:  # a part to write, not a mistake to find
        assert result.line in lines
        assert "NotImplementedError" in stub.splitlines()[result.line - 1]
    else:
        assert str(lines[0]) in result.message
    assert entry.template.regions[0].task in result.message


@pytest.mark.parametrize("entry", SOLUTIONS, ids=lambda entry: entry.name)
def test_the_solution_passes(entry: Entry, tmp_path: Path) -> None:
    result = check(entry, entry.template.solution(), tmp_path)
    assert result.passed, "\n".join(text_lines(result))


@pytest.mark.parametrize(
    ("entry", "wrong"), ANSWERS, ids=[f"{entry.name}: {wrong.new}" for entry, wrong in ANSWERS]
)
def test_a_wrong_answer_is_answered_with_the_line(
    entry: Entry, wrong: Wrong, tmp_path: Path
) -> None:
    text, line = wrong_file(entry, wrong)
    result = check(entry, text, tmp_path)
    answer = "\n".join(text_lines(result))
    assert result.status in ("failed", "error"), answer
    assert result.line == line, f"expected line {line}:\n{answer}"
    assert wrong.mistake in answer


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_at_least_three_wrong_answers_are_tried(entry: Entry) -> None:
    assert len(wrong_answers(entry)) >= 3


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_hints_have_three_levels_that_differ(entry: Entry) -> None:
    assert len(entry.exercise.hints) == 3
    assert len(set(entry.exercise.hints)) == 3
    assert all(len(hint) >= 8 and hint == hint.strip() for hint in entry.exercise.hints)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_learners_copy_contains_nothing_of_the_solution(entry: Entry) -> None:
    copy = entry.template.learners_copy()
    tree = ast.parse(copy)
    assert ast.get_docstring(tree) == entry.docstring
    assert "solution" not in copy.replace(entry.docstring, "")
    assert all(len(line) <= 100 for line in copy.splitlines())
    given = {line.strip() for region in entry.template.regions for line in region.given}
    outside = {line.strip() for line in copy.splitlines()} - given
    for region in entry.template.regions:
        solved = {line.strip() for line in region.solution} - {""} - given
        assert solved, "the solution differs from what is given"
        assert not any(line in outside and "=" in line and "#" in line for line in solved)


def test_the_exercises_have_different_names() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    assert [entry.number for entry in ENTRIES] == list(range(1, len(names) + 1))
