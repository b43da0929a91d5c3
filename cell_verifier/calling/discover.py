"""Call the user's module in every way there is, and keep those that run."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.calling.conventions import (
    CellConvention,
    Convention,
    LayerConvention,
    Packing,
    Parts,
    Reading,
    give_axis,
    packing_like,
    packings,
    state_words,
)
from cell_verifier.calling.nested_tensors import leaves
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import Observation


@dataclass(frozen=True)
class Trial:
    """A convention that ran, and what it showed."""

    convention: Convention
    observed: Observation


class Attempts:
    """Calls the user's module in many ways and remembers the errors of those that fail."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.errors: list[Exception] = []

    def call(self, x: Tensor, state: Parts | None = None, packing: Packing | None = None) -> Any:
        """What the module returns, or None where it raises."""
        try:
            if packing is None or state is None:
                return self.module(x.clone())
            return packing.call(self.module, x.clone(), tuple(part.clone() for part in state))
        except Exception as error:
            self.errors.append(error)
            return None

    def observe(self, convention: Convention, probe: Probe) -> list[Trial]:
        """The trial, or none where it raises."""
        try:
            return [Trial(convention, convention.run(self.module, probe.copy()))]
        except Exception as error:
            self.errors.append(error)
            return []


def cell_trials(attempts: Attempts, kind: Kind, probe: Probe) -> list[Trial]:
    """Every way in which the module runs as a cell."""
    x, state = probe.x[0], probe.state
    trials = []
    for packing in all_packings(attempts, kind, x):
        returned = leaves(attempts.call(x, state, packing))
        for reading in _cell_readings(kind, returned, state[0].shape):
            trials += attempts.observe(CellConvention(kind, packing, reading), probe)
    return _distinct(trials)


def all_packings(attempts: Attempts, kind: Kind, x: Tensor) -> list[Packing]:
    """The usual ways, the nesting that the module itself uses, and each by keyword."""
    usual = [*packings(kind), *_own_nesting(attempts, kind, x)]
    keyword = _state_keyword(attempts.module)
    if not keyword:
        return usual
    return [
        Packing(f"{each.words.replace('x, ', f'x, {keyword}=', 1)}", each.arguments, keyword)
        for each in usual
        if each.words.startswith("x, ") and each.words.count(",") < 3 and each.words != "x, h, c"
    ]


def _state_keyword(module: nn.Module) -> str:
    """The first keyword-only argument of forward, if all but the input are such."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return ""
    only = [each for each in parameters[1:] if each.kind is each.KEYWORD_ONLY]
    return only[0].name if only and only == parameters[1:] else ""


def _own_nesting(attempts: Attempts, kind: Kind, x: Tensor) -> list[Packing]:
    """The nesting of the state that the module makes itself when it is given none."""
    returned = attempts.call(x)
    nestings = [returned, *(returned if isinstance(returned, tuple | list) else ())]
    return [
        packing_like(nesting, f"x, {type(nesting).__name__} of {state_words(kind)}")
        for nesting in nestings
        if not isinstance(nesting, Tensor) and len(leaves(nesting)) == len(kind.state)
    ]


def _cell_readings(kind: Kind, returned: list[Tensor], shape: torch.Size) -> list[Reading]:
    batch, hidden = shape
    parts = len(kind.state)
    if parts == 2 and len(returned) in (1, 2) and returned[-1].shape == (batch, 2 * hidden):
        output = 0 if len(returned) == 2 else None
        return [Reading((len(returned) - 1,), output, "side by side")]
    if parts == 2 and len(returned) in (1, 2) and returned[-1].shape == (2, batch, hidden):
        output = 0 if len(returned) == 2 else None
        return [Reading((len(returned) - 1,), output, "stacked")]
    if any(leaf.shape != shape for leaf in returned[:parts]) or len(returned) < parts:
        return []
    readings = [Reading(tuple(range(parts)))]
    if len(returned) > parts and returned[parts].shape == shape:
        readings.insert(0, Reading(tuple(range(1, parts + 1)), output=0))
    return readings


def layer_trials(
    attempts: Attempts, kind: Kind, probe: Probe, take_state: bool = True
) -> list[Trial]:
    """Every way in which the module runs as a layer of one cell.

    Ways without an initial state only where it takes none.
    """
    trials = []
    for batch_first in (False, True):
        x = probe.x.transpose(0, 1).contiguous() if batch_first else probe.x
        for axis in ("layer", "flat", "batch") if take_state else ():
            for packing in all_packings(attempts, kind, x):
                convention = LayerConvention(kind, batch_first, packing, axis, None, ())
                trials += _layer_readings(attempts, convention, probe)
    if not trials:
        for batch_first in (False, True):
            convention = LayerConvention(
                kind, batch_first, packings(kind)[0], "layer", None, (), takes_state=False
            )
            trials += _layer_readings(attempts, convention, probe)
    return _distinct(trials)


def _layer_readings(attempts: Attempts, call: LayerConvention, probe: Probe) -> list[Trial]:
    x = probe.x.transpose(0, 1).contiguous() if call.batch_first else probe.x
    state = tuple(give_axis(part, call.axis) for part in probe.state)
    packing = call.packing if call.takes_state else None
    returned = leaves(attempts.call(x, state, packing))
    time, batch, hidden = *probe.x.shape[:2], probe.state[0].size(-1)
    if len(returned) >= time and all(leaf.shape == (batch, hidden) for leaf in returned[:time]):
        returned = [torch.stack(returned[:time], int(call.batch_first)), *returned[time:]]
        call = replace(call, steps_listed=True)
    trials = []
    for output, final in layer_readings(call, returned, (time, batch, hidden)):
        trials += attempts.observe(replace(call, output=output, state=final), probe)
    return trials


def layer_readings(
    call: LayerConvention,
    returned: list[Tensor],
    sizes: tuple[int, int, int],
    cells: int = 1,
    directions: int = 1,
) -> list[tuple[int | None, tuple[int, ...]]]:
    """Which leaves may be the outputs and the final state, by their shapes."""
    time, batch, hidden = sizes
    sequence = (batch, time) if call.batch_first else (time, batch)
    finals: list[tuple[int, ...]] = [(cells, batch, hidden), (batch, cells, hidden)]
    if cells == 1:
        finals.append((batch, hidden))
    states = tuple(n for n, leaf in enumerate(returned) if tuple(leaf.shape) in finals)
    states = states[: len(call.kind.state)]
    outputs: list[int | None] = [
        n for n, leaf in enumerate(returned) if leaf.dim() == 3 and leaf.shape[:2] == sequence
        and leaf.size(-1) == directions * hidden and n not in states
    ]  # fmt: skip
    if not outputs and len(returned) > len(call.kind.state):
        return []
    return [(output, states) for output in outputs[:1] or ([None] if states else [])]


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """Trials without those that showed the very same as one before."""
    kept: list[Trial] = []
    for trial in trials:
        if not any(_same(trial, other) for other in kept):
            kept.append(trial)
    return kept


def _same(one: Trial, other: Trial) -> bool:
    if type(one.convention) is not type(other.convention):
        return False
    if one.observed.keys() != other.observed.keys():
        return False
    return all(
        part.shape == other.observed[name].shape and torch.equal(part, other.observed[name])
        for name, part in one.observed.items()
    )
