"""The result of one comparison with torch.nn."""

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
