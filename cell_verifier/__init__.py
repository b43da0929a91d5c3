"""Compare a recurrent cell with torch.nn's, and identify the mistakes in it."""

from typing import TYPE_CHECKING

from command_line.imports import lazy_attributes

if TYPE_CHECKING:
    from cell_verifier.api import verify
    from cell_verifier.checks.check import Check, FirstDifference
    from cell_verifier.report import CellDifferentError, Diagnosis, Report

__all__ = ["CellDifferentError", "Check", "Diagnosis", "FirstDifference", "Report", "verify"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "CellDifferentError": "report",
        "Check": "checks.check",
        "Diagnosis": "report",
        "FirstDifference": "checks.check",
        "Report": "report",
        "verify": "api",
    },
)
