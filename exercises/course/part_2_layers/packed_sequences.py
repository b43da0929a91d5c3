"""Packed sequences.

The sequences of a batch have different lengths. Padding them with zeros wastes time, and the final
state of a short sequence would be the state after the zeros. torch.nn packs them instead: it sorts
the sequences by length, longest first, and stores the elements of all sequences step by step.

    sequences     a1 a2 a3      data         a1 b1 c1 a2 b2 a3
                  b1 b2         batch_sizes  3, 2, 1
                  c1

``batch_sizes[t]`` is the number of sequences that have a time step t. Because of the order, these
are always the first rows of h. A sequence that has ended keeps its state: this is its final state.

Shapes: data (ΣT, I), ΣT the sum of all lengths; batch_sizes, one int for each time step; h_0 (B,
H); output (ΣT, H), packed like data; h_n (B, H).

Write the body of ``packed_layer``; ``rnn_step`` is given.
"""

import torch
from torch import Tensor


def rnn_step(
    x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> Tensor:
    """Compute the state after one time step, (rows, H)."""
    return torch.tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)


def packed_layer(
    data: Tensor,
    batch_sizes: list[int],
    h_0: Tensor,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Return the packed outputs, (ΣT, H), and the final state of every sequence, (B, H)."""
    # begin solution: loop over batch_sizes; return output and the final states
    outputs = []
    h = h_0  # h_0, before the first step
    start = 0  # the first row of the step in data
    for size in batch_sizes:  # for every time step: its number of active sequences
        x_t = data[start : start + size]  # the next `size` rows of data
        active = h[:size]  # the states of the active sequences: the first rows of h
        h_t = rnn_step(x_t, active, *weights)  # h_t = step(x_t, h_{t-1}) of the active sequences
        h = torch.cat([h_t, h[size:]])  # the new states of the active ones, then the old states
        outputs.append(h_t)  # h_t, (size, H)
        start = start + size  # the next step begins after these rows
    output = torch.cat(outputs)  # output (ΣT, H), packed like data
    return output, h  # output, the final states
    # end solution
