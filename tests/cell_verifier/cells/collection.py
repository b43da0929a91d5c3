"""The cells that the verifier is tried on, and what it should say of each.

``right/`` are the styles that it was designed for; ``held_out/`` were written after it. A wrong
cell is a right one with a line or two changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from cell_verifier import Report, verify
from tests.cell_verifier.cells.held_out_lines import HELD_OUT_LINES
from tests.cell_verifier.cells.outside_lines import OUTSIDE_LINES
from tests.cell_verifier.cells.wrong_lines import WRONG_LINES

HERE = Path(__file__).parent
STYLES = {path.stem: path for room in ("right", "held_out") for path in (HERE / room).glob("*.py")}


@dataclass(frozen=True)
class Case:
    """One cell.

    Attributes:
        style: the file that it is, or is made from.
        mistakes: what should be found.
        verdict: equal or different.
        changes: right text -> wrong text.
    """

    style: str
    verdict: str
    mistakes: tuple[str, ...] = ()
    changes: tuple[tuple[str, str], ...] = ()

    @property
    def against(self) -> str:
        return self.style.partition("_")[0]

    def source(self) -> str:
        text = STYLES[self.style].read_text(encoding="utf-8")
        for right, wrong in self.changes:
            assert right in text, f"{self.style} has no {right!r} to change"
            text = text.replace(right, wrong)
        return text

    def make(self) -> Callable[..., Any]:
        """The class or function that the file, or its changed text, defines."""
        module = ModuleType(f"case_{self.style}")
        exec(compile(self.source(), f"{self.style}.py", "exec"), vars(module))
        made: Callable[..., Any] = getattr(module, f"My{self.against.upper()}")
        return made


RIGHT = [Case(style, "equal") for style in sorted(STYLES)]
WRONG = [
    Case(style, "different", (mistake,), changes)
    for mistake, style, changes in [*WRONG_LINES, *HELD_OUT_LINES]
]
OUTSIDE = [Case(style, "different", (), changes) for _, style, changes in OUTSIDE_LINES]
CASES = [*RIGHT, *WRONG, *OUTSIDE]


@cache
def judged(case: Case) -> Report:
    """The verifier's report on a case, made once."""
    return verify(case.make(), case.against)  # type: ignore[arg-type]


def is_right(case: Case) -> bool:
    """Whether the verifier says of a case what it should, and nothing else."""
    report = judged(case)
    return (report.verdict, report.mistakes) == (case.verdict, case.mistakes)
