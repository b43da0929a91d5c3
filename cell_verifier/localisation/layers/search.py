"""Search the operation of a layer of several cells that has another cell's values."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor

from cell_verifier.localisation.bench import STEPS
from cell_verifier.localisation.layers.bench import LayerBench, names_of_parameters
from cell_verifier.localisation.layers.fields import Cell, Field, orders
from cell_verifier.localisation.recorder import CALL, RETURN, Interventions, Operation
from cell_verifier.localisation.slots import arrange

PROOF_SEEDS = (12, 13)
"""Further random inputs and states on which an intervention must give torch.nn's values."""

Place = tuple[Cell, int | None]
"""A cell and a time step, in the order of processing."""


@dataclass(frozen=True)
class Change:
    """One tensor of a recorded operation that is not torch.nn's.

    Attributes:
        element: index among its results or arguments.
        value: the right value, as a function of the bench: the probes differ.
    """

    operation: Operation
    element: int
    is_argument: bool
    value: Callable[[LayerBench], Tensor]

    @property
    def actual(self) -> Tensor:
        tensors = self.operation.arguments if self.is_argument else self.operation.results
        return tensors[self.element]


@dataclass(frozen=True)
class LayerFinding:
    """Changes with which the module equals torch.nn's, and what should be in their place.

    Attributes:
        changes: the first one is the first wrong value of the run.
        expected: in words.
        weights: whether weights are replaced, before anything else.
        written_by: the operation that wrote the wrong value, if that is another one.
    """

    changes: tuple[Change, ...]
    expected: str
    weights: bool = False
    written_by: Operation | None = None

    @property
    def first(self) -> Change:
        return self.changes[0]

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The first wrong value first; of one operation its arguments before its results."""
        return self.first.operation.index, not self.first.is_argument, len(self.changes)


def proved_in_layers(bench: LayerBench, deadline: float) -> Iterator[LayerFinding]:
    """The wrong values that are proved by an intervention, the earliest first."""
    values = sorted(_wrong_values(bench), key=lambda each: each.rank)
    single = sorted([*_wrong_weights(bench), *values], key=lambda each: each.rank)
    joint = (*_wrong_rows(bench), *_with_dropout(values), *_wrong_direction(bench, values))
    for finding in (*single, *joint):
        if time.thread_time() > deadline:
            return
        if is_proved(bench, finding):
            yield finding


def is_proved(bench: LayerBench, finding: LayerFinding) -> bool:
    """Whether the module then gives torch.nn's values, for further inputs and states too."""
    benches = [bench, *map(bench.with_seed, PROOF_SEEDS)]
    return all(each.is_right(interventions_of(each, finding)) for each in benches)


def interventions_of(bench: LayerBench, finding: LayerFinding) -> Interventions:
    results: dict[int, dict[int, Tensor]] = {}
    arguments: dict[int, dict[int, Tensor]] = {}
    for change in finding.changes:
        chosen = arguments if change.is_argument else results
        chosen.setdefault(change.operation.index, {})[change.element] = change.value(bench)

    def replacing(values: dict[int, Tensor]) -> Callable[[list[Tensor]], list[Tensor]]:
        return lambda tensors: [
            values[n].clone() if n in values else each for n, each in enumerate(tensors)
        ]

    return Interventions(
        {index: replacing(values) for index, values in results.items()},
        {index: replacing(values) for index, values in arguments.items()},
    )


def sites(bench: LayerBench, *, inner: bool = False) -> list[list[Operation]]:
    """The operations of each place in the code, in order; with ``inner``, wherever it is called."""
    by_site: dict[object, list[Operation]] = {}
    for each in bench.operations:
        if each.name not in (CALL, RETURN):
            by_site.setdefault(each.inner_site if inner else each.site, []).append(each)
    return list(by_site.values())


def places(bench: LayerBench, count: int) -> Iterator[list[Place]]:
    """The cells and steps that the operations of a place can belong to."""
    for order in orders(bench.config, count):
        yield [(cell, None) for cell in order]
    if count % STEPS == 0:
        for order in orders(bench.config, count // STEPS):
            yield [(cell, step) for cell in order for step in range(STEPS)]
            if len(order) > 1:
                yield [(cell, step) for step in range(STEPS) for cell in order]


def _wrong_values(bench: LayerBench) -> Iterator[LayerFinding]:
    for members in sites(bench):
        for element in range(len(members[0].results)):
            yield from _findings(bench, members, element, False)
        for element in range(len(members[0].arguments)):
            yield from _findings(bench, members, element, True)


def _findings(
    bench: LayerBench, members: Sequence[Operation], element: int, is_argument: bool
) -> Iterator[LayerFinding]:
    for where in places(bench, len(members)):
        for field in bench.fields:
            found = _changes(members, element, is_argument, field, where)
            wrong = [change for change in found or () if _differs(bench, change)]
            # The first step of the first cell is right, as it is with one layer and direction.
            if wrong and (where[0] != ((0, 0), 0) or wrong[0] is not (found or [])[0]):
                at = where[(found or []).index(wrong[0])]
                yield LayerFinding(tuple(wrong), field.title(at[0], bench.config))


def _changes(
    members: Sequence[Operation],
    element: int,
    is_argument: bool,
    field: Field,
    where: Sequence[Place],
) -> list[Change] | None:
    """The changes that put a field in the places of the operations; None if it does not fit."""
    changes = []
    for operation, (cell, step) in zip(members, where, strict=True):
        tensors = operation.arguments if is_argument else operation.results
        if element >= len(tensors) or (step is None and field.per_step):
            return None
        shape = tensors[element].shape
        if not _fits(field.at(cell, step).shape, shape):
            return None

        value = partial(_value, name=field.name, cell=cell, step=step, shape=shape)
        changes.append(Change(operation, element, is_argument, value))
    return changes


@cache
def _fits(values: torch.Size, shape: torch.Size) -> bool:
    return fitted(torch.zeros(()).expand(values), shape) is not None


def _value(bench: LayerBench, name: str, cell: Cell, step: int | None, shape: torch.Size) -> Tensor:
    """A field's value for the probe of a bench, in the layout of a tensor of the user's."""
    found = fitted(bench.field_named(name).at(cell, step), shape)
    assert found is not None  # the same shape fitted with another probe
    return found


def fitted(values: Tensor, shape: torch.Size) -> Tensor | None:
    """The values in the layout of a tensor of the user's, or None."""
    if values.numel() != shape.numel():
        return None
    found = arrange(values, shape)
    if found is None and shape[-1:] == values.shape[-1:] and shape[-2:] == values.shape[-2:]:
        return values.reshape(shape)
    return found


def equals_field(
    bench: LayerBench, change: Change, name: str, direction: int | None = None
) -> bool:
    """Whether the tensor of a change is a field of any cell, or of any in one direction."""
    return any(
        _equal_in_any_layout(values, change.actual)
        for cell, values in bench.field_named(name).values.items()
        if direction in (None, cell[1])
    )


def _equal_in_any_layout(values: Tensor, actual: Tensor) -> bool:
    found = fitted(values, actual.shape)
    return found is not None and _equal(found, actual)


def name_of_value(bench: LayerBench, finding: LayerFinding) -> str:
    """Which quantity of which cell the first wrong tensor is, or ""."""
    actual, wanted = finding.first.actual, finding.first.value(bench)
    if not actual.any():
        return "zeros"
    for field in sorted(bench.fields, key=lambda each: each.per_step):
        for cell, values in field.values.items():
            for step in values if field.per_step else [values]:
                if _equal_in_any_layout(step, actual):
                    return field.title(cell, bench.config)
    if _equal(actual.flatten().sort().values, wanted.flatten().sort().values):
        return f"{finding.expected}, in another order"
    return ""


def _differs(bench: LayerBench, change: Change) -> bool:
    return not torch.allclose(
        change.actual.to(bench.subject.precision.dtype), change.value(bench), rtol=1e-6, atol=1e-8
    )


def _wrong_weights(bench: LayerBench) -> Iterator[LayerFinding]:
    """Parameters of another cell than the one that an operation belongs to."""
    own = names_of_parameters(bench)
    by_identity = {id(part): name for name, part in bench.module.named_parameters()}
    by_base: dict[str, list[Change]] = {}
    for members in sites(bench, inner=True):
        where = next(places(bench, len(members)), None)
        for operation, (cell, _) in zip(members, where or [], strict=False):
            index = cell[0] * bench.config.num_directions + cell[1]
            for element, identity in enumerate(operation.identities[0]):
                name = by_identity.get(identity, "")
                if name not in own or own[name][0] == index:
                    continue
                base = own[name][1]
                right = bench.arrangement.names[index][base]
                by_base.setdefault(base, []).append(
                    Change(operation, element, True, partial(_parameter, name=right))
                )
    every = [change for changes in by_base.values() for change in changes]
    for changes in (every, *by_base.values()):
        if changes:
            changes.sort(key=lambda each: each.operation.index)
            yield LayerFinding(tuple(changes), "", weights=True)


def _parameter(bench: LayerBench, name: str) -> Tensor:
    return bench.parameters[name]


def _wrong_rows(bench: LayerBench) -> Iterator[LayerFinding]:
    """Final states that are written to the row of another cell, ``h_n[k] = h`` with a wrong k.

    The intervention is on what the module returns.
    """
    returned = [each for each in bench.operations if each.name == RETURN][-1:]
    for operation in bench.operations:
        if operation.key is None or len(operation.arguments) != 2 or not returned:
            continue
        for part in bench.subject.kind.state:
            field = bench.field_named(f"the final {part}")
            whole = bench.field_named(f"{part}_n")
            cells = [c for c, v in field.values.items() if _equal(v, operation.arguments[1])]
            if len(cells) != 1:
                continue
            cell = cells[0]
            row = cell[0] * bench.config.num_directions + cell[1]
            if row == operation.key % bench.config.num_cells:
                continue
            for n, tensor in enumerate(returned[0].results):
                found = _changes(returned, n, False, whole, [(cell, None)])
                if found and _differs(bench, found[0]) and tensor.dim() == 3:
                    expected = f"row {row} of {part}_n, {field.title(cell, bench.config)}"
                    yield LayerFinding(tuple(found), expected, written_by=operation)


def _equal(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and bool(torch.allclose(one, two.to(one.dtype), atol=1e-8))


def _with_dropout(findings: Sequence[LayerFinding]) -> Iterator[LayerFinding]:
    """Dropout after the last layer only: it is missing in one place and too much in another."""
    dropped = [each for each in findings if "dropout" in each.first.operation.name]
    for one in dropped:
        for other in findings:
            if other.expected.startswith("the output of") and other.first.operation.frames:
                yield LayerFinding((*one.changes, *other.changes), one.expected)


def _wrong_direction(bench: LayerBench, findings: Sequence[LayerFinding]) -> Iterator[LayerFinding]:
    """The module of the forward direction in place of the reverse one: it also reverses nothing."""
    weights = next(_wrong_weights(bench), None)
    if weights is None or bench.config.num_directions == 1:
        return
    inputs = [each for each in findings if each.expected.startswith("the input in the order")]
    outputs = [each for each in findings if each.expected.startswith("the outputs of")]
    for one in inputs[:MAX_JOINT]:
        for other in outputs[:MAX_JOINT]:
            yield replace(weights, changes=(*weights.changes, *one.changes, *other.changes))


MAX_JOINT = 6
"""Findings of each kind that are tried together; bounds the time."""
