"""Backpropagation through time.

The backward pass of a layer applies the backward step from the last time step to the first. The
state h_t is used twice: it is output t, and step t+1 reads it. So its gradient is a sum:

    dh_t = d_output[t] + the dh that the step t+1 has returned

For the last step, the second term is dh_n, the gradient of the final state. All steps share the
weights, so the gradient of a weight is the sum over all steps.

Shapes: d_output (T, B, H); dh_n (B, H); x (T, B, I); states (T+1, B, H), h_0 first, so that step t
computes ``states[t + 1]`` from ``x[t]`` and ``states[t]``.

Write the body of ``rnn_backward``; ``rnn_backward_step`` is given.

Source: P. Werbos, Backpropagation Through Time: What It Does and How to Do It (1990).
"""

import torch
from torch import Tensor


def rnn_backward_step(
    dh_next: Tensor, x: Tensor, h: Tensor, h_next: Tensor, w_ih: Tensor, w_hh: Tensor
) -> tuple[Tensor, ...]:
    """Return dx, dh, dw_ih, dw_hh and db of one time step."""
    da = dh_next * (1 - h_next**2)
    return da @ w_ih, da @ w_hh, da.T @ x, da.T @ h, da.sum(0)


def rnn_backward(
    d_output: Tensor, dh_n: Tensor, x: Tensor, states: Tensor, w_ih: Tensor, w_hh: Tensor
) -> tuple[Tensor, ...]:
    """Return dx (T, B, I), dh_0 (B, H), dw_ih, dw_hh and db."""
    dx = torch.zeros_like(x)
    dw_ih, dw_hh = torch.zeros_like(w_ih), torch.zeros_like(w_hh)
    db = torch.zeros_like(w_hh[0])
    # begin solution: loop over time, backwards; return dx, dh, dw_ih, dw_hh, db
    dh = dh_n  # the gradient of the final state
    for t in reversed(range(len(x))):  # t = T-1 ... 0
        dh_next = d_output[t] + dh  # dh_t = d_output[t] + dh of step t+1
        step = rnn_backward_step(dh_next, x[t], states[t], states[t + 1], w_ih, w_hh)  # step t
        dx[t], dh, dw_ih_t, dw_hh_t, db_t = step  # five gradients, from d_output[t] + dh
        dw_ih = dw_ih + dw_ih_t  # the sum over all steps
        dw_hh = dw_hh + dw_hh_t  # the sum over all steps
        db = db + db_t  # the sum over all steps
    return dx, dh, dw_ih, dw_hh, db  # dx, dh_0, dW_ih, dW_hh, db
    # end solution
