"""The backward passes of ``tests/cell_verifier/cells/backward``, right and with a line changed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from cell_verifier import verify_backward
from cell_verifier.backward.report import BackwardReport
from tests.cell_verifier.cells.backward.wrong_lines import WRONG_LINES
from tests.helpers.paths import ROOT

FOLDER = ROOT / "tests" / "cell_verifier" / "cells" / "backward"
FILES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "wrong_lines")


@dataclass(frozen=True)
class Case:
    """A file with changed lines, and the mistakes to be found."""

    file: str
    mistakes: tuple[str, ...] = ()
    changes: tuple[tuple[str, str], ...] = ()

    @property
    def style(self) -> str:
        """``numpy`` or ``function``."""
        return self.file.rpartition("_")[2]

    @property
    def against(self) -> str:
        return self.file.partition("_")[0]

    def module(self) -> ModuleType:
        """The changed file, run as a module."""
        text = (FOLDER / f"{self.file}.py").read_text(encoding="utf-8")
        for right, wrong in self.changes:
            assert right in text, f"{self.file} has no {right!r} to change"
            text = text.replace(right, wrong)
        module = ModuleType(f"case_{self.file}")
        exec(compile(text, f"{self.file}.py", "exec"), vars(module))
        return module

    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
        module = self.module()
        return module.FORWARD, module.BACKWARD


RIGHT = [Case(file) for file in FILES]
WRONG = [Case(file, tuple(ids.split(" and ")), changes) for ids, file, changes in WRONG_LINES]


@cache
def report_of(case: Case) -> BackwardReport:
    """The report on a case, computed once."""
    forward, backward = case.functions()
    return verify_backward(forward, backward, against=case.against)
