"""The report of ``verify``: the verdict, its reasons, and their plain text and JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cell_verifier.checks.check import Check, FirstDifference
from cell_verifier.html import report_html
from cell_verifier.localisation.location import Location
from command_line.errors import printable

if TYPE_CHECKING:  # the command shows a report without importing torch
    from cell_verifier.mistakes.mistake import Variant

Verdict = Literal["equal", "different", "unchecked"]

RESULT_WORDS = {True: "passed", False: "FAILED", None: "skipped"}


class CellDifferentError(AssertionError):
    """The cell differs from torch.nn's, or could not be checked; the message is the report."""


@dataclass(frozen=True)
class Diagnosis:
    """One mistake: torch.nn's equations with it match what the user's module returns.

    Attributes:
        id: its id in the catalogue.
        detail: which way it is made, if there are several.
        why: one sentence on its effect.
        right, wrong: the correct equation or line, and the likely one in its place.
        fix: what to change.
    """

    id: str
    detail: str
    why: str
    right: str
    wrong: str
    fix: str


def diagnosis_of(variant: "Variant") -> Diagnosis:
    """The diagnosis for a mistake made in one way."""
    mistake = variant.mistake
    return Diagnosis(
        mistake.id, variant.change.detail, mistake.why, mistake.right, mistake.wrong, mistake.fix
    )


@dataclass(frozen=True)
class Report:
    """The verdict on one cell or layer.

    Attributes:
        subject: the name of the user's class or function.
        against: ``rnn``, ``gru`` or ``lstm``.
        verdict: ``equal``, ``different`` or ``unchecked``.
        reason: one sentence.
        convention: how the module is called, as discovered.
        weights: the user's parameter names -> torch.nn's, as matched.
        diagnoses: one per mistake found.
        checks: every comparison.
        notes: remarks that are not errors: what trains differently, or was compared differently.
        first_difference: where the outputs first differ, if they do.
        locations: the wrong statements, each proved; empty if none can be.
        seconds: processor time of the verification, which does not depend on the machine's load.
    """

    subject: str
    against: str
    verdict: Verdict
    reason: str
    convention: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    diagnoses: tuple[Diagnosis, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    first_difference: FirstDifference | None = None
    locations: tuple[Location, ...] = ()
    seconds: float = 0.0

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The ids of the mistakes found; empty if equal, or if the cause is unknown."""
        return tuple(dict.fromkeys(diagnosis.id for diagnosis in self.diagnoses))

    @property
    def exit_status(self) -> int:
        """0 equal, 1 different, 2 unchecked."""
        return {"equal": 0, "different": 1, "unchecked": 2}[self.verdict]

    def raise_if_different(self) -> None:
        """Raise unless the verdict is ``equal``; for use in a test suite.

        Raises:
            CellDifferentError: an ``AssertionError`` with the whole report as its message.
        """
        if self.verdict != "equal":
            raise CellDifferentError(str(self))

    def as_dict(self) -> dict[str, Any]:
        """The report in types that JSON has; values that are not finite are None."""
        finite: dict[str, Any] = _finite(asdict(self) | {"mistakes": list(self.mistakes)})
        return finite

    def as_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        return plain_text(self)

    def _repr_html_(self) -> str:
        """The report as HTML; Jupyter shows it where a report is the last line of a cell."""
        rows = [(RESULT_WORDS[each.passed], each.name, _comparison(each)) for each in self.checks]
        return report_html(self.verdict, headline(self), explanation(self), rows, self.notes)


def plain_text(report: Report) -> str:
    """The whole report as plain text."""
    lines = [f"{report.verdict}  {headline(report)}"]
    for block in located(report):
        lines += ["", *block]
    lines += explanation(report)
    if report.checks:
        lines.append("")
        width = max(len(check.name) for check in report.checks)
        for check in report.checks:
            result = RESULT_WORDS[check.passed]
            lines.append(f"  {result:7}  {check.name:{width}}  {printable(_comparison(check))}")
    lines += ["", *(f"note  {printable(note)}" for note in report.notes)] if report.notes else []
    return "\n".join(lines)


def headline(report: Report) -> str:
    """The subject and the reason in one line."""
    return printable(f"{report.subject} against {report.against}: {report.reason}")


def explanation(report: Report) -> list[str]:
    """The lines on the call, the weights, each mistake with its fix, and the first difference."""
    lines = []
    if report.convention:
        lines += ["", f"called as  {report.convention}"]
    if report.weights:
        width = max(map(len, report.weights))
        for n, (name, target) in enumerate(report.weights.items()):
            lines.append(f"{'weights' if n == 0 else '':9}  {name:{width}}  is {target}")
    for diagnosis in report.diagnoses:
        detail = f": {diagnosis.detail}" if diagnosis.detail else ""
        lines += [
            "",
            f"mistake    {diagnosis.id}{detail}",
            f"why        {diagnosis.why}",
            f"right      {diagnosis.right}",
            f"likely     {diagnosis.wrong}",
            f"fix        {diagnosis.fix}",
        ]
    if report.first_difference is not None:
        lines += ["", f"where      {_where(report.first_difference)}"]
    return [printable(line) for line in lines]


EQUAL = "the module equals torch.nn's in everything compared"
PROOF = f"with torch.nn's value on this line, {EQUAL}"
PROOF_OF_SEVERAL = f"with torch.nn's values on these lines together, {EQUAL}"


def location_lines(location: Location, proof: str = PROOF) -> list[str]:
    """A wrong statement: its source, what it computes, what it should compute, the proof."""
    place = f"{Path(location.file).name}:{location.line}"
    first, *more = location.source.splitlines() or [""]
    lines = [f"{place:17}  {first}", *(f"{'':17}  {each}" for each in more)]
    if location.computes:
        lines.append(f"{'computes':17}  {location.computes}")
    lines.append(f"{'should compute':17}  {location.expected}")
    if location.proved:
        lines.append(f"{'proof':17}  {proof}")
    return lines


def located(report: Report) -> list[list[str]]:
    """The lines on each wrong statement; the first of them shows its source."""
    proof = PROOF if len(report.locations) == 1 else PROOF_OF_SEVERAL
    blocks = [location_lines(location, proof) for location in report.locations]
    return [[printable(line) for line in block] for block in blocks]


def _where(first: FirstDifference) -> str:
    text = (
        f"{first.of} first differs at step {first.step}, sample {first.sample}, unit {first.unit}: "
        f"got {first.got:.6g}, expected {first.expected:.6g}"
    )
    if first.gate:
        text += f"; the mistake is in the {first.gate} gate"
    if first.depends_on:
        text += f"; the difference depends on the weights of: {', '.join(first.depends_on)}"
    return text


def _comparison(check: Check) -> str:
    if check.difference is None:
        return f"{check.covers}: {check.detail}" if check.detail else check.covers
    difference = f"{check.difference:.1e} (tolerance {check.tolerance:.0e})"
    return f"{check.covers}: {difference}{'; ' + check.detail if check.detail else ''}"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
