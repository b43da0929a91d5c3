"""The batch axis first.

torch.nn's layers read (T, B, I) by default and (B, T, I) with ``batch_first=True``. A layer for the
second layout exchanges two axes, runs the layer for the first one, and exchanges the axes back.

    x (B, T, I) -> (T, B, I) -> the loop over time -> (T, B, H) -> output (B, T, H)

Exchange axes with ``transpose``. ``view`` and ``reshape`` also give a tensor of the right shape,
but they read the memory in its old order, so that the samples are mixed.

``batch_first`` is about x and output only. h_0 and h_n are (1, B, H) in both layouts.

Shapes: x (B, T, I); h_0 (1, B, H); output (B, T, H); h_n (1, B, H).

Write the body of ``batch_first_layer``; ``rnn_layer``, time first, is given.
"""

import torch
from torch import Tensor


def rnn_layer(
    x: Tensor, h_0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the states of all time steps, (T, B, H), and the last state, (B, H)."""
    outputs, h = [], h_0
    for x_t in x:
        h = torch.tanh(x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
        outputs.append(h)
    return torch.stack(outputs), h


def batch_first_layer(
    x: Tensor, h_0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the outputs, (B, T, H), and the final state, (1, B, H)."""
    # begin solution: change the layout, run rnn_layer, change it back; return output and h_n
    time_first = x.transpose(0, 1)  # (T, B, I): axes 0 and 1 exchanged
    steps, h = rnn_layer(time_first, h_0[0], w_ih, w_hh, b_ih, b_hh)  # x time first, from h_0[0]
    output = steps.transpose(0, 1)  # (B, T, H): axes 0 and 1 exchanged
    h_n = h.unsqueeze(0)  # h_n (1, B, H), also in this layout
    return output, h_n  # output, h_n
    # end solution
