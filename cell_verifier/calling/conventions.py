"""Calling conventions: how the user's module is called and what it returns.

With a convention, every module has the same interface: a probe in, a ``RunResult`` out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cell_verifier.calling.nested_tensors import leaves, rebuild
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult

StateParts = tuple[Tensor, ...]
"""The parts of a state: (h,) or (h, c)."""

StateAxis = Literal["layer", "batch", "flat"]
"""The shape of each part of a layer's state: ``layer`` is torch.nn's (L*D, B, H), ``batch`` is
(B, L*D, H), and ``flat`` is (B, H), for a layer of one cell."""


@dataclass(frozen=True)
class ArgumentOrder:
    """The order of input and state in the call's arguments.

    Attributes:
        words: the arguments in printable form, such as ``x, (h, c)``.
        arguments: the arguments for an input and a state.
        keywords: the names of the state's arguments, if they are keyword-only.
        parts: how many parts of the state are passed, h first; the others are zero.
    """

    words: str
    arguments: Callable[[Tensor, StateParts], tuple[Any, ...]]
    keywords: tuple[str, ...] = ()
    parts: int = 2

    def call(self, module: nn.Module, x: Tensor, state: StateParts) -> Any:
        """Call the module with input and state."""
        arguments = self.arguments(x, state)
        if self.keywords:
            return module(x, **dict(zip(self.keywords, arguments[1:], strict=True)))
        return module(*arguments)


class Convention(ABC):
    """One way to call the user's module."""

    kind: Kind
    argument_order: ArgumentOrder
    takes_state: bool
    set_aside: int | None
    aside_may_be_h: bool

    @property
    def is_cell(self) -> bool:
        """Whether the module computes one time step, and not a sequence."""
        return isinstance(self, CellConvention)

    @property
    def parts_taken(self) -> int:
        """How many parts of the state the module takes, h first."""
        return min(self.argument_order.parts, len(self.kind.state)) if self.takes_state else 0

    @property
    def state_nested(self) -> bool:
        """Whether the state is passed in another form than torch.nn's (L*D, B, H) or (B, H)."""
        return False

    def received(self, probe: Probe) -> Probe:
        """The probe as the module receives it: what it does not take of the state is zero."""
        taken = self.parts_taken
        zeros = (torch.zeros_like(part) for part in probe.state[taken:])
        return Probe(probe.x, (*probe.state[:taken], *zeros))

    @abstractmethod
    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> RunResult:
        """Run the module on a probe; with ``stateless``, pass no initial state."""

    @abstractmethod
    def describe(self) -> str:
        """The convention in one line, for the report."""


@dataclass(frozen=True)
class ReturnLayout:
    """Where output and state are among the tensors that a cell returns.

    Attributes:
        state: indices of the state's parts, or of the one tensor that holds both.
        output: index of the output; None if the cell returns only its state.
        join: how one tensor holds h and c: along the last axis, along a new first axis, or not.
        set_aside: index of an output that is not h and is not compared, such as a head's.
        aside_may_be_h: whether that output has the width of h.
    """

    state: tuple[int, ...]
    output: int | None = None
    join: Literal["", "concatenated", "stacked"] = ""
    set_aside: int | None = None
    aside_may_be_h: bool = False

    def parts(self, returned: list[Tensor]) -> StateParts:
        """The parts of the state, each (B, H)."""
        if self.join == "concatenated":
            return tuple(returned[self.state[0]].chunk(2, dim=-1))
        if self.join == "stacked":
            return tuple(returned[self.state[0]].unbind(0))
        return tuple(returned[index] for index in self.state)


@dataclass(frozen=True)
class CellConvention(Convention):
    """A cell: called once per time step, with x (B, I) and the state.

    Attributes:
        time_axes: the axis of size 1 that x and the state have in addition, such as (1, B, I) and
            (1, B, H); empty without.
    """

    kind: Kind
    argument_order: ArgumentOrder
    return_layout: ReturnLayout
    time_axes: tuple[int, ...] = ()
    takes_state = True

    @property
    def state_nested(self) -> bool:
        return bool(self.time_axes or self.return_layout.join)

    @property
    def set_aside(self) -> int | None:  # type: ignore[override]  # read only, unlike a field
        return self.return_layout.set_aside

    @property
    def aside_may_be_h(self) -> bool:  # type: ignore[override]  # read only, unlike a field
        return self.return_layout.aside_may_be_h

    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> RunResult:
        state, outputs, states = probe.state, [], []
        for step, x in enumerate(probe.x):
            if stateless and step == 0:
                returned = self.leaves(module(self.step_input(x)))
            else:
                returned = self.leaves(self.call(module, x, state))
            state = self.return_layout.parts(returned)
            states.append(state)
            if self.return_layout.output is not None:
                outputs.append(returned[self.return_layout.output])
        named = zip(self.kind.state, zip(*states, strict=True), strict=True)
        observed = {name: torch.stack(parts) for name, parts in named}
        return {"output": torch.stack(outputs), **observed} if outputs else observed

    def call(self, module: nn.Module, x: Tensor, state: StateParts) -> Any:
        """Call the module with x (B, I) and the parts of the state, each (B, H)."""
        if self.time_axes:
            state = tuple(part.unsqueeze(self.time_axes[1]) for part in state)
        return self.argument_order.call(module, self.step_input(x), state)

    def step_input(self, x: Tensor) -> Tensor:
        """x (B, I) in the shape that the module takes."""
        return x.unsqueeze(self.time_axes[0]) if self.time_axes else x

    def leaves(self, returned: Any) -> list[Tensor]:
        """The returned tensors, without an axis of time steps."""
        found = leaves(returned)
        if not self.time_axes:
            return found
        return [leaf.flatten(0, 1) if 1 in leaf.shape[:2] else leaf for leaf in found]

    def describe(self) -> str:
        layout = self.return_layout
        output = "" if layout.output is None and layout.set_aside is None else "an output and "
        text = f"a cell: cell({self.argument_order.words}) returns {output}{state_words(self.kind)}"
        if self.time_axes:
            text += f"; one time step with x {_with_one('BI', self.time_axes[0])}"
            text += f" and states {_with_one('BH', self.time_axes[1])}"
        return text


@dataclass(frozen=True)
class LayerConvention(Convention):
    """A layer: called once with a whole sequence, with or without an initial state.

    Attributes:
        batch_first: whether input and outputs are (B, T, ...).
        argument_order: how input and state are passed.
        state_axis: the shape of the initial state.
        output: index of the outputs among the returned tensors; None if there are none.
        state: indices of the final state's parts; empty if it is not returned.
        steps_listed: whether the outputs are a list with one tensor per time step.
        takes_state: whether the layer accepts an initial state.
        state_error: what is wrong with the argument that should be the state, if it has one but
            every call with a state failed.
        set_aside: index of an output that is not h and is not compared, such as a head's.
        aside_may_be_h: whether that output has the width of h.
        pooled: index of a value (B, H) that a head computes from the outputs; not compared.
    """

    kind: Kind
    batch_first: bool
    argument_order: ArgumentOrder
    state_axis: StateAxis
    output: int | None
    state: tuple[int, ...]
    steps_listed: bool = False
    takes_state: bool = True
    state_error: str = ""
    set_aside: int | None = None
    aside_may_be_h: bool = False
    pooled: int | None = None

    @property
    def state_nested(self) -> bool:
        return self.takes_state and (self.state_axis != "layer" or "[" in self.argument_order.words)

    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> RunResult:
        returned = leaves(self.call(module, probe, stateless))
        if self.steps_listed:
            time = probe.x.size(0)
            returned = [torch.stack(returned[:time], int(self.batch_first)), *returned[time:]]
        return self.observed(returned, probe)

    def observed(self, returned: list[Tensor], probe: Probe) -> RunResult:
        """The returned tensors by name, in torch.nn's shapes."""
        observed = {}
        if self.output is not None:
            output = returned[self.output]
            observed["output"] = output.transpose(0, 1) if self.batch_first else output
        for name, index in zip(self.kind.state, self.state, strict=False):
            observed[name] = to_torch_state(returned[index], probe.x.size(1))
        return observed

    def call(self, module: nn.Module, probe: Probe, stateless: bool = False) -> Any:
        """Whatever the module returns for the probe."""
        if not self.takes_state or stateless:
            return module(self.input_of(probe))
        return self.argument_order.call(module, self.input_of(probe), self.state_of(probe))

    def input_of(self, probe: Probe) -> Tensor:
        """The probe's input in the module's layout."""
        return probe.x.transpose(0, 1).contiguous() if self.batch_first else probe.x

    def state_of(self, probe: Probe) -> StateParts:
        """The probe's state in the module's layout."""
        return tuple(from_torch_state(part, self.state_axis) for part in probe.state)

    def describe(self) -> str:
        axes = "(batch, time, features)" if self.batch_first else "(time, batch, features)"
        shape = {"layer": "(1, B, H)", "batch": "(B, 1, H)", "flat": "(B, H)"}[self.state_axis]
        state = f"states {shape}" if self.takes_state else "no initial state"
        call = f"layer({self.argument_order.words})" if self.takes_state else "layer(x)"
        none = self.output is None and self.set_aside is None
        output = "no outputs" if none else "outputs"
        final = state_words(self.kind) if self.state else "no state"
        return f"a layer with input {axes}, {state}: {call} returns {output} and {final}"


def _with_one(letters: str, axis: int) -> str:
    """``(1, B, H)`` or ``(B, 1, H)``."""
    shape = list(letters)
    shape.insert(axis, "1")
    return f"({', '.join(shape)})"


def state_words(kind: Kind) -> str:
    """The state in printable form: ``h`` or ``(h, c)``."""
    return "h" if len(kind.state) == 1 else "(h, c)"


def from_torch_state(part: Tensor, axis: StateAxis) -> Tensor:
    """(L*D, B, H) -> the shape that the user's layer accepts."""
    if axis == "flat":
        return part[0] if part.size(0) == 1 else part
    return part.transpose(0, 1).contiguous() if axis == "batch" else part


def to_torch_state(part: Tensor, batch: int) -> Tensor:
    """A returned final state, (B, H), (B, L*D, H) or (L*D, B, H) -> (L*D, B, H)."""
    if part.dim() == 2:
        return part.unsqueeze(0)
    return part if part.size(1) == batch else part.transpose(0, 1)


def argument_orders(kind: Kind) -> list[ArgumentOrder]:
    """The usual orders of input and state, the most common first."""
    if len(kind.state) == 1:
        return [
            ArgumentOrder("x, h", lambda x, s: (x, s[0])),
            ArgumentOrder("h, x", lambda x, s: (s[0], x)),
            ArgumentOrder("x, (h,)", lambda x, s: (x, s)),
        ]
    return [
        ArgumentOrder("x, (h, c)", lambda x, s: (x, s)),
        ArgumentOrder("x, h, c", lambda x, s: (x, *s)),
        ArgumentOrder("x, [h, c]", lambda x, s: (x, list(s))),
        ArgumentOrder("(h, c), x", lambda x, s: (s, x)),
        ArgumentOrder("h, c, x", lambda x, s: (*s, x)),
        ArgumentOrder("x, torch.cat([h, c], -1)", lambda x, s: (x, torch.cat(s, dim=-1))),
        ArgumentOrder("x, torch.stack([h, c])", lambda x, s: (x, torch.stack(s))),
    ]


def layer_argument_orders(kind: Kind) -> list[ArgumentOrder]:
    """Orders of a layer that takes one entry per cell; each part of the state is (L*D, B, H)."""
    if len(kind.state) == 1:
        return [ArgumentOrder("x, [h]", lambda x, s: (x, list(s[0])))]
    return [
        ArgumentOrder("x, [(h, c)]", lambda x, s: (x, list(zip(*s, strict=True)))),
        ArgumentOrder("x, ([h], [c])", lambda x, s: (x, tuple(map(list, s)))),
        ArgumentOrder("x, [h], [c]", lambda x, s: (x, *map(list, s))),
    ]


def h_only(kind: Kind) -> ArgumentOrder:
    """An LSTM that takes h and starts from c = 0."""
    return ArgumentOrder("x, h", lambda x, s: (x, s[0]), parts=1)


def argument_order_like(template: Any, words: str) -> ArgumentOrder:
    """Pass the state in the same nesting as ``template``, which the module returned."""
    return ArgumentOrder(words, lambda x, state: (x, rebuild(template, state)))
