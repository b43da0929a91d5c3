"""The report of ``verify_backward``: the verdict, each gradient, and the mistakes."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from cell_verifier.localisation.location import Location
from cell_verifier.report import (
    RESULT_WORDS,
    CellDifferentError,
    Diagnosis,
    Verdict,
    location_lines,
)

PROOF = "with the right value on this line, every gradient is right"
PROOF_OF_SEVERAL = "with the right values on these lines together, every gradient is right"


@dataclass(frozen=True)
class GradientResult:
    """The comparison of one gradient.

    Attributes:
        argument: the user's name of the input, state, weight or bias.
        role: what it is: ``x``, ``h``, ``weight_ih`` and so on.
        passed: whether it is right.
        difference: the largest difference, relative to the largest right element (at least 1);
            infinite if the shape is wrong.
        detail: the gates or time steps in which it is wrong, or its wrong shape.
    """

    argument: str
    role: str
    passed: bool
    difference: float
    detail: str = ""


@dataclass(frozen=True)
class BackwardReport:
    """The verdict on a backward pass.

    Attributes:
        subject: the name of the user's function or ``torch.autograd.Function``.
        against: ``rnn``, ``gru`` or ``lstm``.
        verdict: ``equal``, ``different`` or ``unchecked``.
        reason: one sentence.
        layout: how the forward pass is called, as discovered.
        gradients: one result for each argument.
        starts: at which time step of a sequence the gradients are wrong first.
        diagnoses: one per mistake found; the line of the derivation is in ``right`` and ``wrong``.
        notes: remarks that are not errors.
        locations: the wrong statements, each proved; empty if none can be.
    """

    subject: str
    against: str
    verdict: Verdict
    reason: str
    layout: str = ""
    gradients: tuple[GradientResult, ...] = ()
    starts: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    notes: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The ids of the mistakes found; empty if equal, or if the cause is unknown."""
        return tuple(dict.fromkeys(diagnosis.id for diagnosis in self.diagnoses))

    @property
    def wrong(self) -> tuple[str, ...]:
        """The arguments whose gradients are wrong."""
        return tuple(each.argument for each in self.gradients if not each.passed)

    def raise_if_different(self) -> None:
        """Raise unless the verdict is ``equal``; for use in a test suite.

        Raises:
            CellDifferentError: an ``AssertionError`` with the whole report as its message.
        """
        if self.verdict != "equal":
            raise CellDifferentError(str(self))

    def as_json(self) -> str:
        """The report as JSON text; a difference that is not finite is null."""
        report: dict[str, Any] = asdict(self) | {"mistakes": self.mistakes}
        for each in report["gradients"]:
            if not math.isfinite(each["difference"]):
                each["difference"] = None
        return json.dumps(report, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [f"{self.verdict}  {self.subject} against {self.against}: {self.reason}"]
        proof = PROOF if len(self.locations) == 1 else PROOF_OF_SEVERAL
        for location in self.locations:
            lines += ["", *location_lines(location, proof)]
        if self.layout:
            lines += ["", f"forward    {self.layout}"]
        for diagnosis in self.diagnoses:
            lines += [
                "",
                f"mistake    {diagnosis.id}",
                f"why        {diagnosis.why}",
                f"right      {diagnosis.right}",
                f"computes   {diagnosis.wrong}",
                f"fix        {diagnosis.fix}",
            ]
        if self.starts:
            lines += ["", f"starts     {self.starts}"]
        if self.gradients:
            lines.append("")
            width = max(len(each.argument) for each in self.gradients)
            lines += [_line(each, width) for each in self.gradients]
        lines += ["", *(f"note  {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)


def _line(result: GradientResult, width: int) -> str:
    detail = f"; {result.detail}" if result.detail else ""
    name = f"gradient of {result.argument:{width}}"
    return f"  {RESULT_WORDS[result.passed]:7}  {name}  {result.difference:.1e}{detail}"
