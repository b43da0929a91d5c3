"""What ``verify`` gives back."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["equal", "different", "unchecked"]


class CellDifferentError(AssertionError):
    """The cell is not equal to torch.nn's, or could not be checked; the message is the report."""


@dataclass(frozen=True)
class Check:
    """One comparison with torch.nn.

    Attributes:
        name, covers: what is compared.
        passed: None where it could not be made, and ``detail`` says why.
        difference: the largest relative difference, where numbers were compared.
        tolerance: what it may be.
        detail: what went wrong, or why it was not made.
    """

    name: str
    covers: str
    passed: bool | None
    difference: float | None = None
    tolerance: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class FirstDifference:
    """Where the user's numbers first leave torch.nn's.

    Attributes:
        of: output, h, c, or the gradient of something.
        step, sample, unit: its place, counted from 0.
        got, expected: the user's number and torch.nn's.
        gate: the gate at fault, where it can be told.
        depends_on: the gates on whose rows the difference after one step depends.
    """

    of: str
    step: int
    sample: int
    unit: int
    got: float
    expected: float
    gate: str = ""
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """One mistake, found because torch.nn's algebra with it gives the user's numbers.

    Attributes:
        id: its id in the catalogue.
        detail: in which way it was made.
        why: one sentence.
        right, wrong: the equation, and the likely line in its place.
        fix: what to change.
    """

    id: str
    detail: str
    why: str
    right: str
    wrong: str
    fix: str


@dataclass(frozen=True)
class Report:
    """The verdict on one cell or layer.

    Attributes:
        subject: the name of the user's class or function.
        against: ``rnn``, ``gru`` or ``lstm``.
        verdict: ``equal``, ``different`` or ``unchecked``.
        reason: one sentence.
        convention: how it is called, as found.
        weights: the user's parameter -> torch.nn's, as found.
        diagnoses: what is wrong, one for each of ``mistakes``.
        checks: every comparison.
        notes: what is no mistake, and yet compares or trains otherwise.
        first_difference: where it first shows, if it differs.
        seconds: how long it took.
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
        """One line in a test suite: nothing if equal.

        Raises:
            CellDifferentError: an ``AssertionError`` with the whole report.
        """
        if self.verdict != "equal":
            raise CellDifferentError(str(self))

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it: numbers that are not finite as None."""
        finite: dict[str, Any] = _finite(asdict(self) | {"mistakes": list(self.mistakes)})
        return finite

    def as_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        from cell_verifier.rendering import plain_text

        return plain_text(self)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
