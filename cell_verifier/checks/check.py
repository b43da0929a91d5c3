"""The result of one comparison with torch.nn, and where it first failed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One comparison with torch.nn.

    Attributes:
        name: a short name.
        covers: what is compared.
        passed: None if the comparison was skipped; ``detail`` is the reason.
        difference: the largest relative difference, if values were compared.
        tolerance: the largest relative difference that passes.
        detail: what is wrong, or why the comparison was skipped.
    """

    name: str
    covers: str
    passed: bool | None
    difference: float | None = None
    tolerance: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class FirstDifference:
    """The largest difference from torch.nn at the first time step that differs.

    Attributes:
        of: ``output``, ``h`` or ``c``.
        step, sample, unit: its position, counted from 0.
        got, expected: the user's value and torch.nn's.
        gate: the gate whose line is wrong, if the mistake is one gate's.
        depends_on: for an unknown cause, the gates on whose weights the difference depends.
    """

    of: str
    step: int
    sample: int
    unit: int
    got: float
    expected: float
    gate: str = ""
    depends_on: tuple[str, ...] = ()
