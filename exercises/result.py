"""The result of checking one exercise, and its text. Imports no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from command_line.errors import printable

Status = Literal["passed", "failed", "unwritten", "error", "missing"]


@dataclass(frozen=True)
class Result:
    """What a check found.

    Attributes:
        exercise: the exercise's name.
        status: ``passed``; ``failed``: the code runs and is wrong; ``unwritten``: a part of the
            file is still to be written; ``error``: the code cannot be run to its end; ``missing``:
            the file does not exist.
        message: one line; empty if passed.
        file: the learner's file.
        line: the line concerned, counted from 1; 0 if there is none.
        source: the statement on that line.
        computes: what it computes, if known.
        expected: what it should compute, if known.
        mistake: id of the mistake in the verifier's catalogue, if it is one of these.
        proved: whether the right value on this line makes everything else right.
        seed: of the random inputs.
        seconds: how long the check took.
        printed: the beginning of what the learner's code printed.
    """

    exercise: str
    status: Status
    message: str = ""
    file: str = ""
    line: int = 0
    source: str = ""
    computes: str = ""
    expected: str = ""
    mistake: str = ""
    proved: bool = False
    seed: int = 0
    seconds: float = 0.0
    printed: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def place(self) -> str:
        """``lstm_step.py:31``, or the file's name if no line is known."""
        name = Path(self.file).name
        return f"{name}:{self.line}" if self.line else name

    def as_dict(self) -> dict[str, Any]:
        """The result in types that JSON has."""
        return asdict(self)


def text_lines(result: Result) -> list[str]:
    """The result as lines of plain text: the place and the statement first."""
    printed = [("printed", line) for line in result.printed.splitlines()]
    if result.passed:
        return _columns([("passed", result.exercise), *printed])
    first, *more = [line.rstrip() for line in result.source.splitlines()] or [""]
    pairs = [(result.place, first), *(("", line.strip()) for line in more)]
    pairs.append(("wrong" if result.status == "failed" else "", result.message))
    pairs += [("computes", result.computes)] if result.computes else []
    pairs += [("should compute", result.expected)] if result.expected else []
    if result.proved:
        pairs.append(("proof", "with the right value on this line, everything else is right"))
    if result.mistake:
        pairs.append(("mistake", result.mistake))
    if result.status == "failed":
        pairs.append(("inputs", f"random, --seed {result.seed} draws them again"))
    return _columns([*pairs, *printed])


def _columns(pairs: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in pairs)
    return [printable(f"{name:{width}}  {text}".rstrip()) for name, text in pairs if name or text]
