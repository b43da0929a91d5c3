"""Compare recorded values, and group the places where they were recorded."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from exercises.checking.comparison import same_values
from exercises.checking.partial_sums import PREFIX
from exercises.checking.probes import Event, Site

Group = tuple[Site, ...]
"""The sites of one statement."""


def by_statement(sites: Iterable[Site]) -> list[Group]:
    """Sites grouped by their statement: ``i, f = ...`` has two.

    An assignment to an element has its own group, next to that of the variable: ``a[t] = ...``. So
    has each partial sum of a statement.
    """
    groups: dict[tuple[str, int, bool, str], list[Site]] = {}
    for site in sites:
        alone = site.name if site.name.startswith(PREFIX) else ""
        groups.setdefault((site.function, site.line, site.is_element, alone), []).append(site)
    return [tuple(group) for group in groups.values()]


def same_event(event: Event, right: Event) -> bool:
    """Whether two events have the same value, and the same gradients if both have them."""
    if not same_values(event.value, right.value):
        return False
    return not event.gradients or same_values(event.gradients, right.gradients)


def same_shapes(events: Sequence[Event], right: Sequence[Event]) -> bool:
    pairs = zip(events, right, strict=False)
    return len(events) == len(right) and all(
        _shape(a.value) == _shape(b.value) is not None for a, b in pairs
    )


def _shape(value: Any) -> Any:
    """The shape of a tensor, those of a tuple of tensors, or None."""
    if isinstance(value, tuple | list) and value:
        shapes = tuple(map(_shape, value))
        return None if None in shapes else shapes
    return tuple(value.shape) if isinstance(value, Tensor) else None
