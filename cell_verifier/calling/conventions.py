"""How the user's module is called, and what it returns: found by trying.

A convention turns any module into the same thing: a probe goes in, an ``Observation`` comes out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.calling.nested_tensors import leaves, rebuild
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import Observation

Parts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Packing:
    """How input and state are put into the call's arguments, and how the call reads in words."""

    words: str
    arguments: Callable[[Tensor, Parts], tuple[Any, ...]]
    keyword: str = ""

    def call(self, module: nn.Module, x: Tensor, state: Parts) -> Any:
        """Call the module; the state goes by keyword where it goes no other way."""
        given = self.arguments(x, state)
        if self.keyword:
            return module(x, **{self.keyword: given[1]})
        return module(*given)


class Convention(ABC):
    """One way to call the user's module."""

    kind: Kind
    takes_state: bool

    @abstractmethod
    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> Observation:
        """Run the module on a probe; ``stateless`` leaves the state to the module."""

    @abstractmethod
    def describe(self) -> str:
        """What was found, in a line."""


@dataclass(frozen=True)
class Reading:
    """Which of the returned tensors is what: indices into the leaves of the returned nesting."""

    state: tuple[int, ...]
    output: int | None = None
    join: str = ""

    def parts(self, returned: list[Tensor]) -> Parts:
        if self.join == "side by side":
            return tuple(returned[self.state[0]].chunk(2, dim=-1))
        if self.join == "stacked":
            return tuple(returned[self.state[0]].unbind(0))
        return tuple(returned[index] for index in self.state)


@dataclass(frozen=True)
class CellConvention(Convention):
    """A cell: one step of x (B, I), the state in and out."""

    kind: Kind
    packing: Packing
    reading: Reading
    takes_state = True

    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> Observation:
        state, outputs, states = probe.state, [], []
        for step, x in enumerate(probe.x):
            unstarted = stateless and step == 0
            returned = leaves(module(x) if unstarted else self.packing.call(module, x, state))
            state = self.reading.parts(returned)
            states.append(state)
            if self.reading.output is not None:
                outputs.append(returned[self.reading.output])
        named = zip(self.kind.state, zip(*states, strict=True), strict=True)
        observed = {name: torch.stack(parts) for name, parts in named}
        return {"output": torch.stack(outputs), **observed} if outputs else observed

    def describe(self) -> str:
        output = "an output and " if self.reading.output is not None else ""
        return (
            f"a cell, called as cell({self.packing.words}), that returns {output}"
            f"{state_words(self.kind)}"
        )


@dataclass(frozen=True)
class LayerConvention(Convention):
    """A layer: a whole sequence, with or without an initial state."""

    kind: Kind
    batch_first: bool
    packing: Packing
    axis: str
    output: int | None
    state: tuple[int, ...]
    steps_listed: bool = False
    takes_state: bool = True

    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> Observation:
        x = probe.x.transpose(0, 1).contiguous() if self.batch_first else probe.x
        parts = tuple(give_axis(part, self.axis) for part in probe.state)
        give = self.takes_state and not stateless
        returned = leaves(self.packing.call(module, x, parts) if give else module(x))
        if self.steps_listed:
            time = probe.x.size(0)
            returned = [torch.stack(returned[:time], int(self.batch_first)), *returned[time:]]
        observed = {}
        if self.output is not None:
            output = returned[self.output]
            observed["output"] = output.transpose(0, 1) if self.batch_first else output
        for name, index in zip(self.kind.state, self.state, strict=False):
            observed[name] = take_axis(returned[index], probe.x.size(1))
        return observed

    def describe(self) -> str:
        order = "(batch, time, features)" if self.batch_first else "(time, batch, features)"
        given = f"layer({self.packing.words})" if self.takes_state else "layer(x)"
        shape = {"layer": "(1, B, H)", "batch": "(B, 1, H)", "flat": "(B, H)"}[self.axis]
        state = f"states {shape}" if self.takes_state else "takes no initial state"
        output = "outputs" if self.output is not None else "no outputs"
        final = state_words(self.kind) if self.state else "no state"
        return f"a layer, {order}, called as {given}, {state}; returns {output} and {final}"


def state_words(kind: Kind) -> str:
    return "h" if len(kind.state) == 1 else "(h, c)"


def give_axis(part: Tensor, axis: str) -> Tensor:
    """(L*D, B, H) as the user's layer wants it."""
    if axis == "flat":
        return part[0] if part.size(0) == 1 else part
    return part.transpose(0, 1).contiguous() if axis == "batch" else part


def take_axis(part: Tensor, batch: int) -> Tensor:
    """Whatever the layer returned as a final state -> (L*D, B, H)."""
    if part.dim() == 2:
        return part.unsqueeze(0)
    return part if part.size(1) == batch else part.transpose(0, 1)


def packings(kind: Kind) -> list[Packing]:
    """The ways people hand over a state, the commonest first."""
    if len(kind.state) == 1:
        return [
            Packing("x, h", lambda x, s: (x, s[0])),
            Packing("h, x", lambda x, s: (s[0], x)),
            Packing("x, (h,)", lambda x, s: (x, s)),
        ]
    return [
        Packing("x, (h, c)", lambda x, s: (x, s)),
        Packing("x, h, c", lambda x, s: (x, *s)),
        Packing("x, [h, c]", lambda x, s: (x, list(s))),
        Packing("(h, c), x", lambda x, s: (s, x)),
        Packing("h, c, x", lambda x, s: (*s, x)),
        Packing("x, torch.cat([h, c], -1)", lambda x, s: (x, torch.cat(s, dim=-1))),
        Packing("x, torch.stack([h, c])", lambda x, s: (x, torch.stack(s))),
    ]


def packing_like(template: Any, words: str) -> Packing:
    """Hand over the state in the nesting in which the module itself returned it."""
    return Packing(words, lambda x, state: (x, rebuild(template, state)))
