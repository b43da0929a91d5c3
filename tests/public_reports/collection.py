"""All public reports, by topic."""

import sys
from itertools import groupby

from tests.public_reports import (
    arguments,
    compilers,
    derivatives,
    gates,
    sequences,
    training,
    weights,
)
from tests.public_reports.report import REPORTS, Report

ALL = tuple(REPORTS)
TOPICS = (derivatives, compilers, weights, arguments, sequences, training, gates)


def by_topic() -> dict[str, list[Report]]:
    """The reports of each module, under the first line of its docstring."""
    return {
        str(sys.modules[module].__doc__).split(".")[0]: list(reports)
        for module, reports in groupby(
            sorted(ALL, key=lambda r: [m.__name__ for m in TOPICS].index(r.case.__module__)),
            key=lambda r: r.case.__module__,
        )
    }
