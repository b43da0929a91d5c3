"""Wrong answers that learners give, as changes of the solution."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """A wrong answer: the solution with a text replaced.

    Attributes:
        old: a text that occurs once in the solution.
        new: what the learner writes instead.
        line: a text of the line that the check must name; by default the line of ``new``.
        mistake: a text that the answer must contain, if any.
    """

    old: str
    new: str
    line: str = ""
    mistake: str = ""
