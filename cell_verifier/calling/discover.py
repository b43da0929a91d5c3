"""Discover the calling convention by trial: call the module in every known way, keep what runs."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.calling.conventions import (
    ArgumentOrder,
    CellConvention,
    Convention,
    LayerConvention,
    ReturnLayout,
    StateAxis,
    StateParts,
    argument_order_like,
    argument_orders,
    state_words,
)
from cell_verifier.calling.nested_tensors import leaves
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult

STATE_AXES: tuple[StateAxis, ...] = ("layer", "flat", "batch")
"""The shapes of a layer's state, in the order in which they are tried."""


@dataclass(frozen=True)
class Trial:
    """A convention under which the module ran, and what it returned."""

    convention: Convention
    observed: RunResult


class CallAttempts:
    """Calls the user's module and records the errors that it raises."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.errors: list[Exception] = []

    def call(
        self, x: Tensor, state: StateParts | None = None, order: ArgumentOrder | None = None
    ) -> Any:
        """What the module returns, or None if it raises."""
        try:
            if order is None or state is None:
                return self.module(x.clone())
            return order.call(self.module, x.clone(), tuple(part.clone() for part in state))
        except Exception as error:
            self.errors.append(error)
            return None

    def observe(self, convention: Convention, probe: Probe) -> list[Trial]:
        """A list of the one trial, empty if the module raises."""
        try:
            return [Trial(convention, convention.run(self.module, probe.copy()))]
        except Exception as error:
            self.errors.append(error)
            return []


def cell_trials(attempts: CallAttempts, kind: Kind, probe: Probe) -> list[Trial]:
    """Every convention under which the module runs as a cell."""
    x, state = probe.x[0], probe.state
    trials = []
    for order in all_argument_orders(attempts, kind, x):
        returned = leaves(attempts.call(x, state, order))
        for layout in cell_return_layouts(kind, returned, state[0].shape):
            trials += attempts.observe(CellConvention(kind, order, layout), probe)
    return _without_duplicates(trials)


def all_argument_orders(attempts: CallAttempts, kind: Kind, x: Tensor) -> list[ArgumentOrder]:
    """The usual orders and the nesting that the module returns; by keyword if it requires that."""
    usual = [*argument_orders(kind), *_own_nesting(attempts, kind, x)]
    keyword = state_keyword(attempts.module)
    if not keyword:
        return usual
    return [
        ArgumentOrder(each.words.replace("x, ", f"x, {keyword}=", 1), each.arguments, keyword)
        for each in usual
        if each.words.startswith("x, ") and each.words.count(",") < 3 and each.words != "x, h, c"
    ]


def state_keyword(module: nn.Module) -> str:
    """The name of forward's second argument if all remaining arguments are keyword-only, or ""."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return ""
    only = [each for each in parameters[1:] if each.kind is each.KEYWORD_ONLY]
    return only[0].name if only and only == parameters[1:] else ""


def may_take_state(module: nn.Module) -> bool:
    """Whether forward's second argument can be a state; not if its default is a number or text."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return True
    return not (len(parameters) > 1 and isinstance(parameters[1].default, bool | int | str))


def _own_nesting(attempts: CallAttempts, kind: Kind, x: Tensor) -> list[ArgumentOrder]:
    """The nesting of the state that the module returns when it is called without a state."""
    returned = attempts.call(x)
    nestings = [returned, *(returned if isinstance(returned, tuple | list) else ())]
    return [
        argument_order_like(nesting, f"x, {type(nesting).__name__} of {state_words(kind)}")
        for nesting in nestings
        if not isinstance(nesting, Tensor) and len(leaves(nesting)) == len(kind.state)
    ]


def cell_return_layouts(
    kind: Kind, returned: list[Tensor], state_shape: tuple[int, ...]
) -> list[ReturnLayout]:
    """What the returned tensors of a cell can be, by their shapes; state_shape is (B, H)."""
    batch, hidden = state_shape
    parts = len(kind.state)
    if parts == 2 and len(returned) in (1, 2):
        output = 0 if len(returned) == 2 else None
        if returned[-1].shape == (batch, 2 * hidden):
            return [ReturnLayout((len(returned) - 1,), output, "concatenated")]
        if returned[-1].shape == (2, batch, hidden):
            return [ReturnLayout((len(returned) - 1,), output, "stacked")]
    if len(returned) < parts or any(leaf.shape != state_shape for leaf in returned[:parts]):
        return []
    layouts = [ReturnLayout(tuple(range(parts)))]
    if len(returned) > parts and returned[parts].shape == state_shape:
        layouts.insert(0, ReturnLayout(tuple(range(1, parts + 1)), output=0))
    return layouts


def layer_trials(attempts: CallAttempts, kind: Kind, probe: Probe) -> list[Trial]:
    """Every convention under which the module runs as a layer of one cell.

    Calls without an initial state are tried only if no call with one runs.
    """
    trials = []
    for batch_first in (False, True):
        x = probe.x.transpose(0, 1).contiguous() if batch_first else probe.x
        for axis in STATE_AXES if may_take_state(attempts.module) else ():
            for order in all_argument_orders(attempts, kind, x):
                call = LayerConvention(kind, batch_first, order, axis, None, ())
                trials += _trials_of_call(attempts, call, probe)
    if not trials:
        first = argument_orders(kind)[0]
        for batch_first in (False, True):
            call = LayerConvention(kind, batch_first, first, "layer", None, (), takes_state=False)
            trials += _trials_of_call(attempts, call, probe)
    return _without_duplicates(trials)


def _trials_of_call(attempts: CallAttempts, call: LayerConvention, probe: Probe) -> list[Trial]:
    """Every interpretation of what this call returns."""
    order = call.argument_order if call.takes_state else None
    returned = leaves(attempts.call(call.input_of(probe), call.state_of(probe), order))
    time, batch, hidden = *probe.x.shape[:2], probe.state[0].size(-1)
    if len(returned) >= time and all(leaf.shape == (batch, hidden) for leaf in returned[:time]):
        returned = [torch.stack(returned[:time], int(call.batch_first)), *returned[time:]]
        call = replace(call, steps_listed=True)
    trials = []
    for output, final in layer_return_layouts(call, returned, (time, batch, hidden)):
        trials += attempts.observe(replace(call, output=output, state=final), probe)
    return trials


def layer_return_layouts(
    call: LayerConvention,
    returned: list[Tensor],
    sizes: tuple[int, int, int],
    cells: int = 1,
    directions: int = 1,
) -> list[tuple[int | None, tuple[int, ...]]]:
    """Which returned tensors can be the outputs and the final state of a layer, by their shapes.

    Args:
        sizes: T, B and H.
        cells: L*D.
    """
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


def _without_duplicates(trials: Sequence[Trial]) -> list[Trial]:
    """Remove trials that returned exactly the same as an earlier one."""
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
