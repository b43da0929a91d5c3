"""Discover the calling convention by trial: call the module in every known way, keep what runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
    h_only,
    layer_argument_orders,
    state_words,
)
from cell_verifier.calling.nested_tensors import leaves
from cell_verifier.calling.state_argument import (
    is_state_argument,
    may_take_state,
    second_argument,
    state_keywords,
)
from cell_verifier.calling.telling_error import most_telling_error
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult
from command_line.errors import own_line

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
        if order is None or state is None:
            return self.attempt(lambda: self.module(x.clone()))
        copied = tuple(part.clone() for part in state)
        return self.attempt(lambda: order.call(self.module, x.clone(), copied))

    def attempt(self, call: Callable[[], Any]) -> Any:
        """What the call returns, or None if it raises."""
        try:
            return call()
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


def cell_trials(
    attempts: CallAttempts, kind: Kind, probe: Probe, time_axes: tuple[int, ...] = ()
) -> list[Trial]:
    """Every convention under which the module runs as a cell.

    Args:
        time_axes: the axis of size 1 that x and the state get in addition; empty for none.
    """
    module, x, state = attempts.module, probe.x[0], probe.state
    trials: list[Trial] = []
    for order in all_argument_orders(attempts, kind, x):
        call = CellConvention(kind, order, ReturnLayout(()), time_axes)
        returned = attempts.attempt(partial(_leaves_of_step, call, module, probe.copy()))
        for layout in cell_return_layouts(kind, returned or [], state[0].shape):
            trials += attempts.observe(replace(call, return_layout=layout), probe)
    return _without_duplicates(trials)


def _leaves_of_step(call: CellConvention, module: nn.Module, probe: Probe) -> list[Tensor]:
    return call.leaves(call.call(module, probe.x[0], probe.state))


def one_step_trials(attempts: CallAttempts, kind: Kind, probe: Probe) -> list[Trial]:
    """Every convention under which the module runs as a cell with an axis of one time step."""
    axes = [(0, 0), (1, 0), (1, 1), (0, 1)]
    return [trial for each in axes for trial in cell_trials(attempts, kind, probe, each)]


def all_argument_orders(attempts: CallAttempts, kind: Kind, x: Tensor) -> list[ArgumentOrder]:
    """The usual orders and the nesting that the module returns; by keyword if it requires that."""
    usual = [*argument_orders(kind), *_own_nesting(attempts, kind, x)]
    names = state_keywords(attempts.module)
    if not names:
        return usual
    orders = [
        replace(each, words=each.words.replace("x, ", f"x, {names[0]}=", 1), keywords=names[:1])
        for each in usual
        if each.words.startswith("x, ") and each.words.count(",") < 3 and each.words != "x, h, c"
    ]
    if len(names) > 1:
        words = f"x, {names[0]}=h, {names[1]}=c"
        orders += [
            replace(each, words=words, keywords=names[:2])
            for each in usual
            if each.words == "x, h, c"
        ]
    return orders


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
    states = [n for n, leaf in enumerate(returned) if leaf.shape == state_shape]
    if len(states) < parts:
        return []
    if len(returned) > parts and states[0] > 0:  # an output of another width before the state
        return [ReturnLayout(tuple(states[:parts]), set_aside=0)]
    if states[:parts] != list(range(parts)):
        return []
    layouts = [ReturnLayout(tuple(range(parts)))]
    if states[: parts + 1] == list(range(parts + 1)):
        after = tuple(range(1, parts + 1))
        layouts = [ReturnLayout(after, output=0), *layouts, ReturnLayout(after, None, "", 0, True)]
    return layouts


def layer_trials(attempts: CallAttempts, kind: Kind, probe: Probe) -> list[Trial]:
    """Every convention under which the module runs as a layer of one cell.

    Calls without an initial state are tried only if no call with one runs.
    """
    trials = []
    for batch_first in (False, True):
        x = probe.x.transpose(0, 1).contiguous() if batch_first else probe.x
        for axis in STATE_AXES if may_take_state(attempts.module) else ():
            orders = all_argument_orders(attempts, kind, x)
            if axis == "layer":
                orders += layer_argument_orders(kind)
            trials += _trials_of_orders(attempts, kind, probe, batch_first, axis, orders)
    returns_c = any(len(layer_state(trial)) == 2 for trial in trials)
    if len(kind.state) == 2 and not returns_c and is_state_argument(attempts.module):
        for batch_first in (False, True):
            for axis in STATE_AXES:
                only = [h_only(kind)]
                trials += _trials_of_orders(attempts, kind, probe, batch_first, axis, only)
    if not trials:
        trials = _stateless_trials(attempts, kind, probe)
    return _without_duplicates(trials)


def layer_state(trial: Trial) -> tuple[int, ...]:
    """The indices of the final state among what a layer returned."""
    return trial.convention.state if isinstance(trial.convention, LayerConvention) else ()


def _trials_of_orders(
    attempts: CallAttempts,
    kind: Kind,
    probe: Probe,
    batch_first: bool,
    axis: StateAxis,
    orders: Sequence[ArgumentOrder],
) -> list[Trial]:
    trials: list[Trial] = []
    for order in orders:
        call = LayerConvention(kind, batch_first, order, axis, None, ())
        trials += _trials_of_call(attempts, call, probe)
    return trials


def _stateless_trials(attempts: CallAttempts, kind: Kind, probe: Probe) -> list[Trial]:
    state_error = ""
    second = second_argument(attempts.module)
    if second is not None and is_state_argument(attempts.module):
        error = most_telling_error(attempts.module, attempts.errors)
        raised = own_line(error) if error else "returns nothing with the shapes of torch.nn's"
        state_error = f"with an initial state in the argument {second.name!r}: {raised}"
    trials: list[Trial] = []
    first = argument_orders(kind)[0]
    for batch_first in (False, True):
        call = LayerConvention(
            kind, batch_first, first, "layer", None, (), takes_state=False, state_error=state_error
        )
        trials += _trials_of_call(attempts, call, probe)
    return trials


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
        aside_index = None
        if output is None:
            aside_index = _sequence_index(call, returned, (time, batch), final)
        found = replace(call, output=output, state=final, set_aside=aside_index)
        if output is not None and _is_pooled(attempts.module, call, probe, output, final):
            found = replace(found, state=(), pooled=final[0])
        trials += attempts.observe(found, probe)
        if output is not None and found.state:
            aside = replace(call, state=final, set_aside=output, aside_may_be_h=True)
            trials += attempts.observe(aside, probe)
    return trials


def _is_pooled(
    module: nn.Module,
    call: LayerConvention,
    probe: Probe,
    output: int,
    states: Sequence[int],
) -> bool:
    """Whether what could be the final h, before the outputs, is computed from them by a head.

    It then depends on parameters on which the outputs do not depend.
    """
    if len(states) != 1 or states[0] > output:
        return False
    parameters = [each for each in module.parameters() if each.requires_grad]
    with torch.enable_grad():
        returned = leaves(call.call(module, probe.copy()))
        depends = [
            torch.autograd.grad(returned[n].sum(), parameters, allow_unused=True, retain_graph=True)
            for n in (output, states[0])
            if returned[n].requires_grad
        ]
    if len(depends) != 2:
        return False
    return any(a is None and b is not None for a, b in zip(*depends, strict=True))


def _sequence_index(
    call: LayerConvention, returned: list[Tensor], sizes: tuple[int, int], states: Sequence[int]
) -> int | None:
    """The index of the outputs of a head at every step, if the layer returns such outputs.

    They are (T, B, O) or (B, T, O), or (T*B, O) after ``torch.cat``.
    """
    sequence = sizes[::-1] if call.batch_first else sizes
    for n, leaf in enumerate(returned):
        joined = leaf.dim() == 2 and leaf.size(0) == sizes[0] * sizes[1]
        separate = leaf.dim() == 3 and tuple(leaf.shape[:2]) == sequence
        if (joined or separate) and n not in states:
            return n
    return None


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
        head = _sequence_index(call, returned, (time, batch), states)
        if head is None or len(returned) > len(call.kind.state) + 1:
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
    if one.convention.parts_taken != other.convention.parts_taken:
        return False
    if one.observed.keys() != other.observed.keys():
        return False
    return all(
        part.shape == other.observed[name].shape and torch.equal(part, other.observed[name])
        for name, part in one.observed.items()
    )
