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
        keyword: the name of the state's argument, if it is keyword-only.
    """

    words: str
    arguments: Callable[[Tensor, StateParts], tuple[Any, ...]]
    keyword: str = ""

    def call(self, module: nn.Module, x: Tensor, state: StateParts) -> Any:
        """Call the module with input and state."""
        arguments = self.arguments(x, state)
        if self.keyword:
            return module(x, **{self.keyword: arguments[1]})
        return module(*arguments)


class Convention(ABC):
    """One way to call the user's module."""

    kind: Kind
    takes_state: bool

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
    """

    state: tuple[int, ...]
    output: int | None = None
    join: Literal["", "concatenated", "stacked"] = ""

    def parts(self, returned: list[Tensor]) -> StateParts:
        """The parts of the state, each (B, H)."""
        if self.join == "concatenated":
            return tuple(returned[self.state[0]].chunk(2, dim=-1))
        if self.join == "stacked":
            return tuple(returned[self.state[0]].unbind(0))
        return tuple(returned[index] for index in self.state)


@dataclass(frozen=True)
class CellConvention(Convention):
    """A cell: called once per time step, with x (B, I) and the state."""

    kind: Kind
    argument_order: ArgumentOrder
    return_layout: ReturnLayout
    takes_state = True

    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> RunResult:
        state, outputs, states = probe.state, [], []
        for step, x in enumerate(probe.x):
            if stateless and step == 0:
                returned = leaves(module(x))
            else:
                returned = leaves(self.argument_order.call(module, x, state))
            state = self.return_layout.parts(returned)
            states.append(state)
            if self.return_layout.output is not None:
                outputs.append(returned[self.return_layout.output])
        named = zip(self.kind.state, zip(*states, strict=True), strict=True)
        observed = {name: torch.stack(parts) for name, parts in named}
        return {"output": torch.stack(outputs), **observed} if outputs else observed

    def describe(self) -> str:
        output = "an output and " if self.return_layout.output is not None else ""
        return f"a cell: cell({self.argument_order.words}) returns {output}{state_words(self.kind)}"


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
    """

    kind: Kind
    batch_first: bool
    argument_order: ArgumentOrder
    state_axis: StateAxis
    output: int | None
    state: tuple[int, ...]
    steps_listed: bool = False
    takes_state: bool = True

    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> RunResult:
        returned = leaves(self.call(module, probe, stateless))
        if self.steps_listed:
            time = probe.x.size(0)
            returned = [torch.stack(returned[:time], int(self.batch_first)), *returned[time:]]
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
        output = "outputs" if self.output is not None else "no outputs"
        final = state_words(self.kind) if self.state else "no state"
        return f"a layer with input {axes}, {state}: {call} returns {output} and {final}"


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


def argument_order_like(template: Any, words: str) -> ArgumentOrder:
    """Pass the state in the same nesting as ``template``, which the module returned."""
    return ArgumentOrder(words, lambda x, state: (x, rebuild(template, state)))
