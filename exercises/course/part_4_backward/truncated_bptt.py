"""Truncated backpropagation through time.

The backward pass needs the states of all steps, so the memory grows with the length of the
sequence. Truncated backpropagation cuts a long sequence into chunks. The state passes from chunk to
chunk, but the gradient does not:

    h       --chunk 1-->  h  --chunk 2-->  h  --chunk 3-->  h
    dh      <--chunk 1--  |  <--chunk 2--  |  <--chunk 3--

``h.detach()`` has the same values as h and no history. The model still carries information over the
cut, but does not learn from errors that occur after it what it should have kept before it.

Cut at the start of every chunk, the first one included.

Shapes: x (T, B, I); target (T, B, H); h_0 (B, H). ``steps`` is the length of a chunk.

Write the body of ``truncated_loss``; ``rnn_layer`` is given.
"""

import torch
from torch import Tensor


def rnn_layer(x: Tensor, h_0: Tensor, w_ih: Tensor, w_hh: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states of all time steps, (T, B, H), and the last state, (B, H)."""
    outputs, h = [], h_0
    for x_t in x:
        h = torch.tanh(x_t @ w_ih.T + h @ w_hh.T)
        outputs.append(h)
    return torch.stack(outputs), h


def truncated_loss(
    x: Tensor, target: Tensor, h_0: Tensor, w_ih: Tensor, w_hh: Tensor, steps: int
) -> Tensor:
    """Return the sum of squared errors of all steps, a scalar."""
    loss = x.new_zeros(())
    h = h_0
    for start in range(0, len(x), steps):
        chunk, chunk_target = x[start : start + steps], target[start : start + steps]
        # begin solution: run one chunk from a state without history, and add its error to loss
        h = h.detach()  # the same values, without history
        output, h = rnn_layer(chunk, h, w_ih, w_hh)  # states of this chunk, from h without history
        loss = loss + ((output - chunk_target) ** 2).sum()  # the sum of (output - target)²
        # end solution
    return loss
