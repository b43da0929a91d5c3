"""Run the equations along a sequence: a cell called step by step, or a layer of cells."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cell_verifier.reference.equations import Stages, Step, Weights, replace_stages, step_of
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe

RunResult = dict[str, Tensor]
"""The tensors that a run returns, by name.

Of a cell: ``h``, ``c`` and ``output`` (where the cell returns an output in addition to its state)
after every step, each (..., T, B, H). Of a layer: ``output`` (..., T, B, D*H), and ``h``, ``c``
after the last step, (..., L*D, B, H).
"""


@dataclass(frozen=True)
class LayerConfig:
    """Number of layers and directions, layout of the input, dropout; as in torch.nn.

    Attributes:
        num_layers: stacked layers, L.
        num_directions: 1, or 2 for a bidirectional layer, D.
        batch_first: whether the user's module takes (B, T, I). Probes are always (T, B, I).
        dropout: probability, 0 or 1.
        training: whether dropout applies.
    """

    num_layers: int = 1
    num_directions: int = 1
    batch_first: bool = False
    dropout: float = 0.0
    training: bool = True

    @property
    def applied_dropout(self) -> float:
        """The probability of dropout in this mode."""
        return self.dropout if self.training else 0.0

    @property
    def num_cells(self) -> int:
        return self.num_layers * self.num_directions


class StateBoundary:
    """Conversion of the state where the caller passes it in and receives it back."""

    def __init__(self, stages: Stages) -> None:
        replace_stages(self, stages)

    @staticmethod
    def receive_state(*state: Tensor) -> tuple[Tensor, ...]:
        return state

    @staticmethod
    def return_state(*state: Tensor) -> tuple[Tensor, ...]:
        return state


def run_cell(kind: Kind, w: Weights, probe: Probe, stages: Stages) -> RunResult:
    """Call a cell once per time step and pass the state that it returns to the next call."""
    step, boundary = step_of(kind, stages), StateBoundary(stages)
    state, outputs, states = probe.state, [], []
    for x in probe.x:
        updated = step(w, x, *boundary.receive_state(*state))
        outputs.append(updated[0])
        state = boundary.return_state(*step.next_state(*updated))
        states.append(state)
    named = zip(kind.state, zip(*states, strict=True), strict=True)
    sequences = {name: torch.stack(parts, dim=-3) for name, parts in named}
    return {"output": torch.stack(outputs, dim=-3), **sequences}


class LayerWiring(StateBoundary):
    """Inputs, states and outputs of the cells of a layer; a mistake can replace each method."""

    @staticmethod
    def arrange_input(x: Tensor, batch_first: bool) -> Tensor:
        """The input of the loop over time, (T, B, I)."""
        return x

    @staticmethod
    def arrange_output(output: Tensor, batch_first: bool) -> Tensor:
        """The outputs after the loop over time, (..., T, B, D*H)."""
        return output

    @staticmethod
    def state_index(layer: int, direction: int, config: LayerConfig) -> int:
        """The row of the caller's (L*D, B, H) that is a cell's initial state."""
        return layer * config.num_directions + direction

    @staticmethod
    def final_order(config: LayerConfig) -> list[tuple[int, int]]:
        """The (layer, direction) of each row of the final state."""
        return [(n, d) for n in range(config.num_layers) for d in range(config.num_directions)]

    @staticmethod
    def layer_input(x: Tensor, below: list[Tensor], direction: int) -> Tensor:
        """The input of a later layer: the outputs of both directions of the layer below."""
        return torch.cat(below, dim=-1)

    @staticmethod
    def flip_back(output: Tensor) -> Tensor:
        """Reverse the outputs of the reverse direction, so that output t belongs to input t."""
        return output.flip(-3)

    @staticmethod
    def drop_between(output: Tensor, dropout: float) -> Tensor:
        """Dropout between layers: exact for p = 0 and p = 1, and only these are tested."""
        return output * (1 - dropout)

    @staticmethod
    def drop_last(output: Tensor, dropout: float) -> Tensor:
        """No dropout after the last layer."""
        return output

    @staticmethod
    def drop_state(h: Tensor, dropout: float) -> Tensor:
        """No dropout inside the loop over time."""
        return h


def run_layer(
    kind: Kind,
    weights: list[Weights],
    probe: Probe,
    stages: Stages,
    config: LayerConfig = LayerConfig(),
) -> RunResult:
    """Run a layer over the sequence; ``weights`` has one entry per cell, in torch.nn's order."""
    step, wiring = step_of(kind, stages), LayerWiring(stages)
    state = wiring.receive_state(*probe.state)
    x = wiring.arrange_input(probe.x, config.batch_first)
    finals: dict[tuple[int, int], tuple[Tensor, ...]] = {}
    outputs: list[Tensor] = []
    for layer in range(config.num_layers):
        below, outputs = outputs, []
        for direction in range(config.num_directions):
            sequence = wiring.layer_input(x, below, direction) if layer else x
            index = wiring.state_index(layer, direction, config)
            initial = tuple(part[..., index, :, :] for part in state)
            w = weights[layer * config.num_directions + direction]
            output, final = _run_direction(
                step, wiring, w, sequence, initial, direction == 1, config.applied_dropout
            )
            finals[layer, direction] = final
            outputs.append(output)
        drop = wiring.drop_last if layer == config.num_layers - 1 else wiring.drop_between
        outputs = [drop(output, config.applied_dropout) for output in outputs]
    ordered = zip(*(finals[at] for at in wiring.final_order(config)), strict=True)
    final_parts = wiring.return_state(*(torch.stack(parts, dim=-3) for parts in ordered))
    output = wiring.arrange_output(torch.cat(outputs, dim=-1), config.batch_first)
    return {"output": output, **dict(zip(kind.state, final_parts, strict=True))}


def _run_direction(
    step: Step,
    wiring: LayerWiring,
    w: Weights,
    sequence: Tensor,
    state: tuple[Tensor, ...],
    reverse: bool,
    dropout: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The outputs (..., T, B, H) and the final state of one cell over the sequence."""
    outputs = []
    steps = sequence.unbind(-3)
    for x in reversed(steps) if reverse else steps:
        h, *rest = step(w, x, *state)
        h = wiring.drop_state(h, dropout)
        outputs.append(h)
        state = step.next_state(h, *rest)
    output = torch.stack(outputs, dim=-3)
    return (wiring.flip_back(output) if reverse else output), state


def max_relative_difference(observed: RunResult, expected: RunResult) -> float:
    """The largest difference of any element, relative to the largest expected element.

    Expected elements below 1 count as 1. Infinite where shapes differ or a value is not finite.
    """
    worst = 0.0
    for name, part in observed.items():
        wanted = expected[name]
        if part.shape != wanted.shape or not bool(part.isfinite().all()):
            return float("inf")
        worst = max(worst, float((part - wanted).abs().max() / max(1.0, float(wanted.abs().max()))))
    return worst
