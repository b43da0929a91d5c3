"""Values of the solution for a statement that the learner runs once a gate or once a sample."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

from torch import Tensor

from exercises.checking.events import Group, same_shapes
from exercises.checking.matching import Matching
from exercises.checking.probes import Event

MAX_CALLED = 5
"""Gates of which a function of the learner's own may compute one at each call."""


def once_a_gate(matching: Matching, events: Sequence[Event]) -> Iterator[Group]:
    """For a function that the learner calls once a gate: the values of several statements."""
    alone = {
        site: right[0]
        for site, right in matching.statements.items()
        if len(right) == 1 and site.name != "return" and same_shapes(events[:1], right)
    }
    if not 1 < len(events) <= len(alone) <= MAX_CALLED:
        return
    for some in permutations(alone, len(events)):
        joined = replace(some[0], name=", ".join(site.name for site in some))
        matching.vocabulary[joined] = [alone[site] for site in some]
        yield (joined,)


def once_a_sample(matching: Matching, events: Sequence[Event]) -> Iterator[Group]:
    """For values that the learner appends one by one: the rows or parts of a right value."""
    for site, right in matching.statements.items():
        value = right[0].value
        has_rows = isinstance(value, list) or (isinstance(value, Tensor) and value.dim() > 0)
        if len(right) > 1 or not has_rows:
            continue
        rows = [Event(site, row, [], 0) for row in value]
        if len(rows) > 1 and same_shapes(events, rows):
            each_row = replace(site, name=f"each row of {site.name}")
            matching.vocabulary[each_row] = rows
            yield (each_row,)
