"""The cells that test the verifier, and the report expected for each.

The styles in ``right/`` were written before the verifier, those in ``held_out/`` after it. A wrong
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
STYLES = {
    path.stem: path for folder in ("right", "held_out") for path in (HERE / folder).glob("*.py")
}


@dataclass(frozen=True)
class Case:
    """One cell and the report expected for it.

    Attributes:
        style: the name of the file that holds the right cell.
        verdict: equal or different.
        mistakes: the ids of the mistakes to be found.
        changes: pairs of right text and wrong text; every occurrence is replaced.
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
        cell: Callable[..., Any] = getattr(module, f"My{self.against.upper()}")
        return cell


RIGHT = [Case(style, "equal") for style in sorted(STYLES)]
WRONG = [
    Case(style, "different", (mistake,), changes)
    for mistake, style, changes in [*WRONG_LINES, *HELD_OUT_LINES]
]
OUTSIDE = [Case(style, "different", (), changes) for _, style, changes in OUTSIDE_LINES]
CASES = [*RIGHT, *WRONG, *OUTSIDE]


@cache
def report_of(case: Case) -> Report:
    """The verifier's report on a case, computed once."""
    return verify(case.make(), case.against)


def is_as_expected(case: Case) -> bool:
    """Whether the report has the expected verdict and exactly the expected mistakes."""
    report = report_of(case)
    return (report.verdict, report.mistakes) == (case.verdict, case.mistakes)
