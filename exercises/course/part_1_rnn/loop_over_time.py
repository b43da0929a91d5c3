"""The loop over time.

A layer applies the same step, with the same weights, at every time step. What makes it recurrent is
that each step receives the state that the step before it returned:

    h_1 = step(x_1, h_0),   h_2 = step(x_2, h_1),   ...,   h_T = step(x_T, h_{T-1})

The layer returns all states h_1 ... h_T, and the last one once more.

A common mistake is to pass h_0 to every step. The code runs, and with zeros as h_0 and one time
step it even returns the right values.

Shapes: x (T, B, I); h_0 (B, H); output (T, B, H); h_n (B, H).

Write the body of ``rnn_layer``; ``rnn_step`` is given.
"""

import torch
from torch import Tensor


def rnn_step(
    x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> Tensor:
    """Compute the state after one time step, (B, H)."""
    return torch.tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)


def rnn_layer(
    x: Tensor, h_0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the states of all time steps, (T, B, H), and the last state, (B, H)."""
    # begin solution: apply rnn_step to each time step; return output and h_n
    outputs = []
    h = h_0  # h_0, the state before the first step
    for x_t in x:  # for every time step t
        h = rnn_step(x_t, h, w_ih, w_hh, b_ih, b_hh)  # h_t = step(x_t, h_{t-1})
        outputs.append(h)  # h_t
    output = torch.stack(outputs)  # output = h_1 ... h_T, time first
    return output, h  # output, h_T
    # end solution
