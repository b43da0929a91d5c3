"""One step of an RNN, backwards.

The backward pass of a step receives dh', the gradient of the loss with respect to the state after
the step, and returns the gradients with respect to everything that the step used. dX always means
the gradient of the loss with respect to X, and it has the shape of X.

    forward     a = W_ih x + b + W_hh h       h' = tanh(a)

    backward    da    = dh' ⊙ (1 - h'²)      tanh'(a) = 1 - tanh²(a), and tanh(a) is h'
                dx    = W_ihᵀ da
                dh    = W_hhᵀ da
                dW_ih = Σ da xᵀ              Σ is the sum over the batch
                dW_hh = Σ da hᵀ
                db    = Σ da

In code the samples are rows. The forward product ``x @ w_ih.T`` has the backward product ``da @
w_ih``, without the transpose, and the sum of da xᵀ over the batch is ``da.T @ x``.

Shapes: dh', h, h' (B, H); x (B, I); w_ih (H, I); w_hh (H, H). One bias b stands for both.

Write the body of ``rnn_backward_step``.
"""

import torch
from torch import Tensor


def rnn_backward_step(
    dh_next: Tensor, x: Tensor, h: Tensor, h_next: Tensor, w_ih: Tensor, w_hh: Tensor
) -> tuple[Tensor, ...]:
    """Return dx, dh, dw_ih, dw_hh and db."""
    # begin solution: compute da first, then the five gradients; return dx, dh, dw_ih, dw_hh, db
    da = dh_next * (1 - h_next**2)  # da = dh' ⊙ (1 - h'²)
    dx = da @ w_ih  # dx = W_ihᵀ da
    dh = da @ w_hh  # dh = W_hhᵀ da
    dw_ih = da.T @ x  # dW_ih = Σ da xᵀ
    dw_hh = da.T @ h  # dW_hh = Σ da hᵀ
    db = torch.sum(da, dim=0)  # db = Σ da
    return dx, dh, dw_ih, dw_hh, db  # dx, dh, dW_ih, dW_hh, db
    # end solution
