"""What the checks of the exercises share: inputs, comparisons, and the search for the line."""

from exercises.checking.attempt import Attempt, Failure, normal
from exercises.checking.statements import check_function

__all__ = ["Attempt", "Failure", "check_function", "normal"]
