"""Learners' files for the tests of the course's machinery."""

from exercises.exercise import find_exercise

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
