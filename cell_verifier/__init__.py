"""Is my recurrent cell right, and if not, which line is wrong?"""

from cell_verifier.api import verify
from cell_verifier.report import CellDifferentError, Check, Diagnosis, FirstDifference, Report

__all__ = ["CellDifferentError", "Check", "Diagnosis", "FirstDifference", "Report", "verify"]
