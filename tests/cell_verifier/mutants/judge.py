"""Verify the mutants of a style."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from cell_verifier import verify
from cell_verifier.identification.identify import identify
from cell_verifier.identification.subject import Subject
from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.simulate import max_relative_difference
from command_line.load_object import load_object
from tests.cell_verifier.cells.collection import STYLES
from tests.cell_verifier.mutants.further import FURTHER_STYLES, further_mutants
from tests.cell_verifier.mutants.mutate import PER_STYLE, Mutant, all_mutants, draw_mutants

MIN_DIFFERENCE = 1e-6
"""Below this, a mutant computes the same function as the right cell (for example f*c for c*f)."""


@dataclass(frozen=True)
class Outcome:
    """A mutant, and what the verifier reports on it."""

    mutant: Mutant
    verdict: str
    lines: tuple[int, ...]
    seconds: float
    report: str

    @property
    def is_among_locations(self) -> bool:
        return self.mutant.line in self.lines

    @property
    def is_only_location(self) -> bool:
        return self.lines == (self.mutant.line,)


def judge_style(style: str, folder: Path, count: int = PER_STYLE) -> list[Outcome]:
    """Verify mutants of a style, as files in a folder."""
    further = style in FURTHER_STYLES
    mutants = further_mutants(style) if further else wrong_mutants(style, folder, count)
    return [judge(mutant, folder, n) for n, mutant in enumerate(mutants)]


def judge(mutant: Mutant, folder: Path, number: int) -> Outcome:
    """Verify one mutant."""
    path = folder / f"mutant_{number}.py"
    path.write_text(mutant.source, encoding="utf-8")
    kind = mutant.against
    started = time.process_time()
    report = verify(load_object(f"{path}:My{kind.upper()}"), kind)  # type: ignore[arg-type]
    seconds = time.process_time() - started
    # A mutant's line is that of the changed text, a location's the first of the statement.
    lines = tuple(
        mutant.line if each.line <= mutant.line <= each.end_line else each.line
        for each in report.locations
    )
    return Outcome(mutant, report.verdict, lines, seconds, str(report))


def wrong_mutants(style: str, folder: Path, count: int) -> list[Mutant]:
    """Mutants that run as the right cell does and return other values."""
    kind = style.partition("_")[0]
    right = load_object(f"{STYLES[style]}:My{kind.upper()}")
    subject = identify(right, KINDS[kind], None).subject
    drawn = draw_mutants(style, len(list(all_mutants(style))))
    return list(_first(count, (each for each in drawn if _is_wrong(each, subject, folder))))


def _first(count: int, mutants: Iterator[Mutant]) -> Iterator[Mutant]:
    for _, mutant in zip(range(count), mutants, strict=False):
        yield mutant


def _is_wrong(mutant: Mutant, right: Subject, folder: Path) -> bool:
    path = folder / f"draft_{abs(hash(mutant.source))}.py"
    path.write_text(mutant.source, encoding="utf-8")
    make = load_object(f"{path}:My{mutant.against.upper()}")
    wrong = Subject(
        make, right.kind, right.convention, right.correspondence, (), False, right.precision
    )
    probe = right.probe()
    with torch.no_grad():
        try:
            observed = wrong.experiment(probe).run_user()
        except Exception:  # a mutant that raises has no values to compare
            return False
        expected = right.experiment(probe).run_user()
    same = {name: part.shape for name, part in observed.items()} == {
        name: part.shape for name, part in expected.items()
    }
    return same and not max_relative_difference(observed, expected) <= MIN_DIFFERENCE
