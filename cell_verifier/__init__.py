"""Compare a recurrent cell with torch.nn's, and identify the mistakes in it."""

from typing import TYPE_CHECKING

from command_line.imports import lazy_attributes

if TYPE_CHECKING:
    from cell_verifier.api import verify
    from cell_verifier.backward.report import BackwardReport, GradientResult
    from cell_verifier.backward.verify import verify_backward
    from cell_verifier.checks.check import Check, FirstDifference
    from cell_verifier.report import CellDifferentError, Diagnosis, Report

__all__ = [
    "BackwardReport",
    "CellDifferentError",
    "Check",
    "Diagnosis",
    "FirstDifference",
    "GradientResult",
    "Report",
    "verify",
    "verify_backward",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "BackwardReport": "backward.report",
        "CellDifferentError": "report",
        "Check": "checks.check",
        "Diagnosis": "report",
        "FirstDifference": "checks.check",
        "GradientResult": "backward.report",
        "Report": "report",
        "verify": "api",
        "verify_backward": "backward.verify",
    },
)
