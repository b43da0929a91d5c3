"""Which steps mattered: the exact gradient of the winning score through time.

Every state that the recurrence passes from one step to the next is a node of the graph of its own,
so one call of autograd gives the gradient with respect to each of them: dscore/dh_t holds all ways
in which h_t reaches the score, through the later steps and through the layers above.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scratch_cells import Cell
from scratch_cells.cell import hidden, parts
from scratch_cells.layers import RecurrentStack
from scratch_cells.unroll import iterate_steps, join_steps
from shared_interface import State, final_hidden


@dataclass(frozen=True)
class Gradients:
    """Euclidean norms of the gradient of the winning class's score, step by step.

    Attributes:
        input: with respect to x_t, (T,).
        states: with respect to each part of each cell's state: one dict for each cell, layer by
            layer, forward before reverse; ``states[0]["hidden"]`` is (T,).
    """

    input: Tensor
    states: tuple[dict[str, Tensor], ...]


def gradient_norms(layer: RecurrentStack, readout: nn.Linear, steps: Tensor) -> Gradients:
    """Run ``layer`` along ``steps`` and trace the winning score back to every step.

    Args:
        layer: hand-written, in evaluation mode.
        readout: from the final hidden state to the scores.
        steps: one sequence, (T, features).
    """
    walks: list[tuple[Cell, list[State]]] = []

    def record(
        cell: Cell, input: Tensor, state: State, batch_sizes: tuple[int, ...] | None, reverse: bool
    ) -> tuple[Tensor, State]:
        states = [updated for updated, _ in iterate_steps(cell, input, state, batch_sizes, reverse)]
        walks.append((cell, states[::-1] if reverse else states))
        return join_steps([hidden(each) for each in states], batch_sizes, reverse), states[-1]

    x = steps.detach().clone().requires_grad_()
    with torch.enable_grad():
        _, final = layer.run(x, None, record)
        scores = readout(final_hidden(final, 2 if layer.bidirectional else 1))
        winner = scores[scores.argmax()]
    nodes = [part for _, states in walks for state in states for part in parts(state)]
    d_x, *d_nodes = torch.autograd.grad(winner, [x, *nodes], materialize_grads=True)
    # In float64: the square of a vanishing gradient would vanish in float32 long before it does.
    norms = iter([d_node.double().norm() for d_node in d_nodes])
    by_cell = []
    for cell, states in walks:
        by_step = [[next(norms) for _ in cell.state_names] for _ in states]
        columns = [torch.stack(column) for column in zip(*by_step, strict=True)]
        by_cell.append(dict(zip(cell.state_names, columns, strict=True)))
    return Gradients(d_x.double().norm(dim=1), tuple(by_cell))
