"""The places where an intervention can replace tensors: the slots of a recorded run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from torch import Tensor

from cell_verifier.localisation.recorder import (
    CALL,
    RETURN,
    Interventions,
    Operation,
    UserFrame,
)
from cell_verifier.localisation.source import statement_at

MAX_GATES = 4
"""A place in the code that runs once a gate runs at most this often in a time step."""


@dataclass(frozen=True)
class Slot:
    """One tensor of an operation, at every time step or once for the whole sequence.

    Attributes:
        operations: the operation at each of the T time steps; or one, for the whole sequence.
        element: index among the tensors that it returns (or receives).
        is_argument: whether the tensor is one that the operation receives.
    """

    operations: tuple[Operation, ...]
    element: int
    is_argument: bool = False

    @property
    def first(self) -> Operation:
        return self.operations[0]

    @property
    def shape(self) -> torch.Size:
        if self.is_argument:
            return self.first.arguments[self.element].shape
        return self.first.results[self.element].shape

    @property
    def variable(self) -> str:
        """The user's variable that holds the argument at every step, or ""."""
        names = {each.names[self.element] for each in self.operations if self.is_argument}
        return names.pop() if len(names) == 1 else ""

    def value_in(self, operation: Operation) -> Tensor:
        """The tensor of this slot in one of its operations, of this run or another."""
        return (operation.arguments if self.is_argument else operation.results)[self.element]


@dataclass(frozen=True)
class SlotGroup:
    """Slots that are replaced together, and the frame of the line that they accuse."""

    slots: tuple[Slot, ...]
    frame: UserFrame

    @property
    def rank(self) -> tuple[int, int, int]:
        """Earlier operations first; of one operation, its result first, then its arguments.

        A place that runs once a gate comes after each of these runs.
        """
        last = max(slot.first.index for slot in self.slots)
        return last, int(self.slots[0].is_argument), len(self.slots)


def slot_groups(operations: Sequence[Operation], time: int) -> list[SlotGroup]:
    """All groups of slots of a run with ``time`` time steps, in order of execution."""
    repeated = list(_repeated(operations, time))
    groups = [group for each in repeated for group in _groups_of(each, repeated)]
    groups += _joint_groups(repeated)
    groups += _groups_of_statements(repeated)
    return sorted(groups, key=lambda group: group.rank)


Repeated = tuple[Operation, ...]


def _repeated(operations: Sequence[Operation], time: int) -> Iterator[Repeated]:
    """The operations of each place, as one per time step or as a single one."""
    by_site: dict[object, list[Operation]] = {}
    for each in operations:
        by_site.setdefault(each.site, []).append(each)
    for members in by_site.values():
        per_step = len(members) // time
        if len(members) == time * per_step:
            yield from (tuple(members[n::per_step]) for n in range(per_step))
        else:
            yield from ((each,) for each in members)


def _groups_of(repeated: Repeated, others: Sequence[Repeated]) -> Iterator[SlotGroup]:
    first = repeated[0]
    if len({tuple(r.shape for r in each.results) for each in repeated}) > 1:
        return
    frame = _accused_frame(repeated, others)
    if first.name == CALL:  # only whether two parts of the state are exchanged
        slots = [Slot(repeated, n, is_argument=True) for n in range(len(first.arguments))]
        pairs = [(a, b) for a, b in combinations(slots, 2) if a.shape == b.shape]
        yield from (SlotGroup(pair, frame) for pair in pairs)
        return
    results = [Slot(repeated, n) for n in range(len(first.results))]
    yield from (SlotGroup((slot,), frame) for slot in results)
    if len(results) > 1:
        yield SlotGroup(tuple(results), frame)
    if len({each.argument_shapes for each in repeated}) == 1:
        for n in range(len(first.arguments)):
            yield SlotGroup((Slot(repeated, n, is_argument=True),), frame)


def _accused_frame(repeated: Repeated, others: Sequence[Repeated]) -> UserFrame:
    """The innermost line that only this operation runs, not the same code for other gates."""
    frames = repeated[0].frames
    same = [
        other[0].frames
        for other in others
        if other is not repeated and other[0].inner_site == repeated[0].inner_site
    ]
    for level in range(len(frames)):
        outer = [f.position for f in frames[: level + 1]]
        if all([f.position for f in each[: level + 1]] != outer for each in same):
            return frames[level]
    return frames[0]


def _joint_groups(repeated: Sequence[Repeated]) -> Iterator[SlotGroup]:
    """One place in the code that runs for several gates in each time step."""
    by_place: dict[object, list[Repeated]] = {}
    for each in repeated:
        if len(each[0].results) == 1:
            by_place.setdefault((each[0].inner_site, len(each)), []).append(each)
    for members in by_place.values():
        if 1 < len(members) <= MAX_GATES:
            slots = tuple(Slot(each, 0) for each in members)
            yield SlotGroup(slots, members[0][0].frames[0])


def _groups_of_statements(repeated: Sequence[Repeated]) -> Iterator[SlotGroup]:
    """The same operation at several places of one statement: ``r, z = a[:, :H], a[:, H:]``."""
    by_statement: dict[object, list[Repeated]] = {}
    for each in repeated:
        first, frame = each[0], each[0].frames[0]
        if len(first.results) == 1:
            key = first.name, frame.code, statement_at(frame.file, frame.line).line, len(each)
            by_statement.setdefault(key, []).append(each)
    for members in by_statement.values():
        places = {each[0].inner_site for each in members}
        if 1 < len(members) <= MAX_GATES and len(places) == len(members):
            yield SlotGroup(tuple(Slot(each, 0) for each in members), members[0][0].frames[0])


def arrange(values: Tensor, shape: torch.Size) -> Tensor | None:
    """Values, (T, B, W) or (B, W), in the layout of a tensor of the user's.

    The axes may be in any order, W may be split into gates and units, and T and B joined.
    None if this gives no tensor of that shape.
    """
    wanted = tuple(size for size in shape if size != 1)
    for form in _forms(values):
        if form.numel() != shape.numel():
            return None
        for order in permutations(range(form.dim())):
            if tuple(form.size(axis) for axis in order) == wanted:
                return form.permute(order).reshape(shape)
    return None


def _forms(values: Tensor) -> Iterator[Tensor]:
    yield values
    for gates in range(2, MAX_GATES + 1):
        if values.size(-1) % gates == 0:
            yield values.unflatten(-1, (gates, -1))
    if values.dim() == 3:
        yield values.flatten(0, 1)


def interventions_for(
    group: SlotGroup, terms: Sequence[Callable[[int | None], Tensor]]
) -> Interventions | None:
    """Replace each slot of the group by its term; None if a term does not have its shape.

    Args:
        terms: for each slot, a function from the time step (None: all) to values (B, W) or
            (T, B, W).
    """
    results: dict[int, dict[int, Tensor]] = {}
    arguments: dict[int, dict[int, Tensor]] = {}
    for slot, term in zip(group.slots, terms, strict=True):
        once = len(slot.operations) == 1
        for step, operation in enumerate(slot.operations):
            values: Tensor | None = term(None if once else step)
            assert values is not None
            if not is_without_batch(slot, values.size(-1)):
                values = arrange(values, slot.shape)
            if values is None:
                return None
            chosen = arguments if slot.is_argument else results
            chosen.setdefault(operation.index, {})[slot.element] = values
    return Interventions(
        {index: _replacing(values) for index, values in results.items()},
        {index: _replacing(values) for index, values in arguments.items()},
    )


def _replacing(values: dict[int, Tensor]) -> Callable[[list[Tensor]], list[Tensor]]:
    def replace(tensors: list[Tensor]) -> list[Tensor]:
        with torch.set_grad_enabled(any(each.requires_grad for each in values.values())):
            return [values[n].clone() if n in values else each for n, each in enumerate(tensors)]

    return replace


def is_without_batch(slot: Slot, width: int) -> bool:
    """Whether an operation returns one value per unit, to be broadcast over the batch."""
    return slot.shape == (width,) and not slot.is_argument and slot.first.name != "__get__"


def is_return(group: SlotGroup) -> bool:
    """Whether the group stands for a ``return`` statement of the module."""
    return group.slots[0].first.name == RETURN
