"""The algebra along a sequence: as a cell that is called step by step, or as a layer of cells."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cell_verifier.reference.equations import Stages, Step, Weights, step_of
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe

Observation = dict[str, Tensor]
"""What a run shows. Of a cell: ``h``, ``c`` and ``output`` (where it returns one besides its state)
after every step, each (..., T, B, H). Of a layer: ``output`` (..., T, B, D*H), and ``h``, ``c``
after the last step, (..., L*D, B, H)."""


@dataclass(frozen=True)
class Stack:
    """How the cells of a layer stand: L, D, how the input lies, and how much dropout."""

    layers: int = 1
    directions: int = 1
    batch_first: bool = False
    dropout: float = 0.0


class Edge:
    """What happens where the caller's state goes in and comes out."""

    def __init__(self, stages: Stages) -> None:
        for name, stage in stages.items():
            if hasattr(self, name):
                setattr(self, name, stage)

    @staticmethod
    def take(*state: Tensor) -> tuple[Tensor, ...]:
        return state

    @staticmethod
    def give(*state: Tensor) -> tuple[Tensor, ...]:
        return state


def run_cell(kind: Kind, w: Weights, probe: Probe, stages: Stages) -> Observation:
    """Call a cell once a step, feeding its own state back to it."""
    step, edge = step_of(kind, stages), Edge(stages)
    given, outputs, states = probe.state, [], []
    for x in probe.x:
        updated = step(w, x, *edge.take(*given))
        outputs.append(updated[0])
        given = edge.give(*step.carry(*updated))
        states.append(given)
    named = zip(kind.state, zip(*states, strict=True), strict=True)
    along = {name: torch.stack(parts, dim=-3) for name, parts in named}
    return {"output": torch.stack(outputs, dim=-3), **along}


class Wiring(Edge):
    """How the cells of a layer are fed: each method a stage that a mistake can replace."""

    @staticmethod
    def arrange(x: Tensor, batch_first: bool) -> Tensor:
        """The input before the loop, (T, B, I)."""
        return x

    @staticmethod
    def restore(output: Tensor, batch_first: bool) -> Tensor:
        """The outputs after the loop, (..., T, B, D*H)."""
        return output

    @staticmethod
    def state_index(layer: int, direction: int, stack: Stack) -> int:
        """Which row of the caller's (L*D, B, H) a cell starts from."""
        return layer * stack.directions + direction

    @staticmethod
    def final_order(stack: Stack) -> list[tuple[int, int]]:
        """The (layer, direction) of each row of the final state."""
        return [(n, d) for n in range(stack.layers) for d in range(stack.directions)]

    @staticmethod
    def feed(x: Tensor, below: list[Tensor], direction: int) -> Tensor:
        """What a later layer reads: the outputs of the one below, both directions side by side."""
        return torch.cat(below, dim=-1)

    @staticmethod
    def flip_back(output: Tensor) -> Tensor:
        """Reverse outputs, from walking order to reading order."""
        return output.flip(-3)

    @staticmethod
    def drop_between(output: Tensor, dropout: float) -> Tensor:
        return output * (1 - dropout)  # exact for a dropout of 0 and of 1, the two that are asked

    @staticmethod
    def drop_last(output: Tensor, dropout: float) -> Tensor:
        return output

    @staticmethod
    def drop_state(h: Tensor, dropout: float) -> Tensor:
        return h


def run_layer(
    kind: Kind,
    weights: list[Weights],
    probe: Probe,
    stages: Stages,
    stack: Stack = Stack(),
) -> Observation:
    """Run a layer's cells, one ``Weights`` each in torch.nn's order, along the sequence."""
    step, wiring = step_of(kind, stages), Wiring(stages)
    state = wiring.take(*probe.state)
    x = wiring.arrange(probe.x, stack.batch_first)
    finals: dict[tuple[int, int], tuple[Tensor, ...]] = {}
    outputs: list[Tensor] = []
    for layer in range(stack.layers):
        below, outputs = outputs, []
        for direction in range(stack.directions):
            sequence = wiring.feed(x, below, direction) if layer else x
            index = wiring.state_index(layer, direction, stack)
            start = tuple(part[..., index, :, :] for part in state)
            w = weights[layer * stack.directions + direction]
            output, final = _walk(step, wiring, w, sequence, start, direction == 1, stack.dropout)
            finals[layer, direction] = final
            outputs.append(output)
        drop = wiring.drop_last if layer == stack.layers - 1 else wiring.drop_between
        outputs = [drop(output, stack.dropout) for output in outputs]
    ordered = zip(*(finals[at] for at in wiring.final_order(stack)), strict=True)
    final_parts = wiring.give(*(torch.stack(parts, dim=-3) for parts in ordered))
    output = wiring.restore(torch.cat(outputs, dim=-1), stack.batch_first)
    return {"output": output, **dict(zip(kind.state, final_parts, strict=True))}


def _walk(
    step: Step,
    wiring: Wiring,
    w: Weights,
    sequence: Tensor,
    state: tuple[Tensor, ...],
    reverse: bool,
    dropout: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    outputs = []
    steps = sequence.unbind(-3)
    for x in reversed(steps) if reverse else steps:
        h, *rest = step(w, x, *state)
        h = wiring.drop_state(h, dropout)
        outputs.append(h)
        state = step.carry(h, *rest)
    output = torch.stack(outputs, dim=-3)
    return (wiring.flip_back(output) if reverse else output), state


def relative(observed: Observation, expected: Observation) -> float:
    """The largest difference in anything observed, relative to the largest expected number."""
    worst = 0.0
    for name, part in observed.items():
        wanted = expected[name]
        if part.shape != wanted.shape or not bool(part.isfinite().all()):
            return float("inf")
        apart = float((part - wanted).abs().max() / max(1.0, float(wanted.abs().max())))
        worst = max(worst, apart)
    return worst
