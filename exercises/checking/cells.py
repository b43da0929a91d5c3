"""The check of a whole cell or layer by the verifier."""

import re
from collections.abc import Callable
from typing import Any

from cell_verifier import Report, verify
from cell_verifier.reference.against import Against
from exercises.checking.attempt import Attempt, Failure


def check_cell(attempt: Attempt, name: str, against: Against) -> None:
    """Compare a cell or layer of the learner's file with torch.nn's.

    Args:
        name: the class: an ``nn.Module`` made from (input_size, hidden_size).
        against: ``rnn``, ``gru`` or ``lstm``.

    Raises:
        Failure: it differs; with the wrong line, if one can be proved, and the mistake.
    """
    make: Callable[..., Any] = attempt.get(name)
    report = verify(make, against)
    if report.verdict != "equal":
        raise _failure(attempt, report)


def _failure(attempt: Attempt, report: Report) -> Failure:
    mistake = ", ".join(report.mistakes)
    for location in report.locations:
        if location.file == str(attempt.file):
            why = next((each.why for each in report.diagnoses), "")
            targets = _several_targets(location.source)
            return Failure(
                why or report.reason,
                line=location.line,
                source=location.source,
                computes=targets + location.computes,
                expected=targets + location.expected,
                mistake=mistake,
                proved=location.proved,
            )
    return Failure(report.reason, line=_line_in(report.reason, attempt), mistake=mistake)


def _several_targets(source: str) -> str:
    """The left side of a statement such as ``c, h = state``, without which its values have no name.

    ``""`` for another statement.
    """
    match = re.match(r"\w+(, \w+)+ = ", source)
    return match[0] if match else ""


def _line_in(text: str, attempt: Attempt) -> int:
    """The line of the learner's file that a message names, or 0."""
    match = re.search(rf"\b{re.escape(attempt.file.name)}:(\d+)", text)
    return int(match[1]) if match else 0
