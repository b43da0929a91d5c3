"""``check`` and ``hint`` for the cells of a notebook."""

import dataclasses
import html
import sys
import tempfile
from pathlib import Path

from exercises import runner
from exercises.arguments import hint_limit
from exercises.exercise import find_exercise
from exercises.notebook_cells import MARK, cells_by_name
from exercises.result import Result, text_lines


class ExerciseFailedError(AssertionError):
    """An exercise is not passed; the message is the answer of the check."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer of a check. A notebook shows it where it is the last line of a cell."""

    result: Result

    @property
    def passed(self) -> bool:
        return self.result.passed

    def raise_if_failed(self) -> None:
        """Raise unless the exercise is passed; for the tests of a grader.

        Raises:
            ExerciseFailedError: an ``AssertionError`` with the whole answer as its message.
        """
        if not self.passed:
            raise ExerciseFailedError(f"\n{self}")

    def __repr__(self) -> str:
        return "\n".join(text_lines(self.result))

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.passed else "#b3261e"
        first, *more = (html.escape(each) for each in text_lines(self.result))
        lines = "\n".join([f'<b style="color:{colour}">{first}</b>', *more])
        return f'<pre style="white-space:pre-wrap">{lines}</pre>'


def check(name: str, seed: int | None = None) -> Answer:
    """Check the answer to an exercise in this notebook.

    The answer is the cell that was run last among those whose first line is ``# exercise: NAME``.
    It runs in a process of its own, so that a loop without an end does not block the notebook.

    Args:
        name: the exercise.
        seed: of the random inputs; None to draw one.

    Raises:
        ConfigError: there is no such exercise.
        RuntimeError: no cell of this exercise has been run in this notebook.
    """
    entry = find_exercise(name)
    history = sys._getframe(1).f_globals.get("In", [])  # IPython keeps the cells' texts there
    text = cells_by_name(history).get(entry.name)
    if text is None:
        raise RuntimeError(f"run the cell that begins with {MARK + entry.name!r} before the check")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / entry.file_name
        path.write_text(text, encoding="utf-8")
        result = runner.check(entry, path, seed)
    return Answer(dataclasses.replace(result, file=f"cell {entry.name}"))


def hint(name: str, level: int = 1) -> None:
    """Print the hints of an exercise up to a level, 1 to 3.

    Raises:
        ConfigError: there is no such exercise.
    """
    hints = find_exercise(name).exercise.hints[: min(level, hint_limit())]
    print("\n".join(f"hint {n}  {text}" for n, text in enumerate(hints, 1)))
