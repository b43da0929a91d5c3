"""Compare a recurrent cell with torch.nn's, and identify the mistakes in it."""

from cell_verifier.api import verify
from cell_verifier.backward.report import BackwardReport, GradientResult
from cell_verifier.backward.verify import verify_backward
from cell_verifier.checks.check import Check
from cell_verifier.checks.first_difference import FirstDifference
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
