"""Compare a recurrent cell with torch.nn's, and identify the mistakes in it."""

from cell_verifier.api import verify
from cell_verifier.checks.check import Check
from cell_verifier.checks.first_difference import FirstDifference
from cell_verifier.report import CellDifferentError, Diagnosis, Report

__all__ = ["CellDifferentError", "Check", "Diagnosis", "FirstDifference", "Report", "verify"]
