"""Learners' files for the tests of the course's machinery."""

import textwrap
from pathlib import Path

from exercises.checking.judge import judge
from exercises.exercise import find_exercise
from exercises.result import Result

EXERCISE = "lstm_step"
TASK = find_exercise(EXERCISE).template.regions[0].task


def solution() -> str:
    """The solution of the LSTM step."""
    return find_exercise(EXERCISE).template.solution()


def with_body(*body: str, exercise: str = EXERCISE) -> str:
    """The learner's file of an exercise with these lines as the body of its function."""
    template = find_exercise(exercise).template
    lines = template.learners_copy().splitlines()
    (region,) = template.lines_to_write()
    lines[region.start - 1 : region.stop - 1] = [f"    {line}" for line in body]
    return "\n".join([*lines, ""])


def line_of(text: str, part: str) -> int:
    """The line that contains a part of the text, counted from 1."""
    return text.count("\n", 0, text.index(part)) + 1


def answer(exercise: str, body: str, folder: Path) -> Result:
    """The result of the check of a file whose only region is ``body``."""
    entry = find_exercise(exercise)
    (region,) = entry.template.regions
    lines = entry.template.lines
    indent = " " * (len(lines[region.first - 1]) - len(lines[region.first - 1].lstrip()))
    written = textwrap.indent(textwrap.dedent(body).strip("\n"), indent)
    before, after = lines[: region.first - 1], lines[region.last :]
    text = "\n".join([*before, written, *after]) + "\n"
    path = folder / entry.file_name
    path.write_text(text, encoding="utf-8")
    return judge(entry, path, seed=0)
