"""The gradient of the predicted class's score with respect to every input and every state.

The cells are run step by step, so that the state after each time step is its own node of the
autograd graph. One call of ``torch.autograd.grad`` then gives the gradient with respect to all of
them. dscore/dh_t is the total derivative: it includes every path from h_t to the score, through
the later time steps and through the layers above.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scratch_cells.cell import parts
from scratch_cells.recurrent_stack import RecurrentStack
from scratch_cells.trace import StepRecorder
from shared_interface import final_hidden


@dataclass(frozen=True)
class GradientNorms:
    """Euclidean norms of the gradient of the predicted class's score (logit), for each time step.

    Attributes:
        input: with respect to x_t, (T,) float64.
        states: with respect to each part of each cell's state. One dict per cell, layer by layer,
            forward before reverse; ``states[0]["hidden"]`` is (T,) float64.
    """

    input: Tensor
    states: tuple[dict[str, Tensor], ...]


def gradient_norms(layer: RecurrentStack, readout: nn.Linear, steps: Tensor) -> GradientNorms:
    """Run ``layer`` on ``steps`` and differentiate the predicted class's score.

    Args:
        layer: a hand-written layer in evaluation mode.
        readout: maps the final hidden state to the scores.
        steps: one sequence, (T, features).
    """
    recorder = StepRecorder()
    x = steps.detach().clone().requires_grad_()
    with torch.enable_grad():
        _, final = layer.run(x, None, recorder)
        scores = readout(final_hidden(final, 2 if layer.bidirectional else 1))
        predicted_score = scores[scores.argmax()]
    nodes = [part for cell in recorder.cells for state in cell.states for part in parts(state)]
    d_x, *d_nodes = torch.autograd.grad(predicted_score, [x, *nodes], materialize_grads=True)
    # float64: the squares of a vanishing gradient underflow in float32
    norms = iter([d_node.double().norm() for d_node in d_nodes])
    by_cell = []
    for recorded in recorder.cells:
        names = recorded.cell.state_names
        by_step = [[next(norms) for _ in names] for _ in recorded.states]
        by_time = by_step[::-1] if recorded.reverse else by_step
        columns = [torch.stack(column) for column in zip(*by_time, strict=True)]
        by_cell.append(dict(zip(names, columns, strict=True)))
    return GradientNorms(d_x.double().norm(dim=1), tuple(by_cell))
