"""Wrong answers that learners give, as changes of the solution: one module for each part."""

import importlib
from dataclasses import dataclass

from exercises.exercise import Entry


@dataclass(frozen=True)
class Wrong:
    """A wrong answer: the solution with a text replaced.

    Attributes:
        old: a text that occurs once in the solution.
        new: what the learner writes instead.
        line: a text of the line that the check must name; by default the line of ``new``.
        mistake: a text that the answer must contain, if any.
    """

    old: str
    new: str
    line: str = ""
    mistake: str = ""


def wrong_answers(entry: Entry) -> list[Wrong]:
    """The wrong answers to an exercise."""
    module = importlib.import_module(f"tests.exercises.wrong_answers.{entry.part}")
    answers: list[Wrong] = module.WRONG.get(entry.name, [])
    return answers


def wrong_file(entry: Entry, wrong: Wrong) -> tuple[str, int]:
    """The learner's file with a wrong answer, and the line that the check must name."""
    solution = entry.template.solution()
    assert solution.count(wrong.old) == 1, f"{wrong.old!r} must occur once in {entry.name}"
    text = solution.replace(wrong.old, wrong.new)
    place = solution.index(wrong.old)  # up to here, both texts are the same
    if wrong.line:
        assert text.count(wrong.line) == 1, f"{wrong.line!r} must occur once in the wrong answer"
        place = text.index(wrong.line)
    return text, text.count("\n", 0, place) + 1
