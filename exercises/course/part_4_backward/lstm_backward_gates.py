"""Backwards through the gates of an LSTM.

The gradients of the gates pass through their activations. Both derivatives can be computed from the
value after the activation: σ' = s (1 - s) for s = σ(a), and tanh' = 1 - t² for t = tanh(a).

    da_i = di ⊙ i ⊙ (1 - i)      da_f = df ⊙ f ⊙ (1 - f)
    da_g = dg ⊙ (1 - g²)         da_o = do ⊙ o ⊙ (1 - o)

    da   = [da_i, da_f, da_g, da_o]      the order of the rows of the weights
    dx   = W_ihᵀ da        dh    = W_hhᵀ da
    dW_ih = Σ da xᵀ        dW_hh = Σ da hᵀ        db = Σ da

Every gate reads x and h. The product with the stacked matrix adds the terms of all four gates.

Shapes: di ... do and i ... o (B, H); da (B, 4H); x (B, I); h (B, H); w_ih (4H, I); w_hh (4H, H).

Write the body of ``lstm_backward_gates``.
"""

import torch
from torch import Tensor

Gates = tuple[Tensor, Tensor, Tensor, Tensor]


def lstm_backward_gates(
    gradients: Gates, gates: Gates, x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor
) -> tuple[Tensor, ...]:
    """Return dx, dh, dw_ih, dw_hh and db."""
    di, df, dg, do = gradients
    i, f, g, o = gates
    # begin solution: compute da_i, da_f, da_g, da_o, then the gradients; return all five
    da_i = di * i * (1 - i)  # da_i = di ⊙ i ⊙ (1 - i)
    da_f = df * f * (1 - f)  # da_f = df ⊙ f ⊙ (1 - f)
    da_g = dg * (1 - g**2)  # da_g = dg ⊙ (1 - g²)
    da_o = do * o * (1 - o)  # da_o = do ⊙ o ⊙ (1 - o)
    da = torch.cat([da_i, da_f, da_g, da_o], dim=-1)  # da = [da_i, da_f, da_g, da_o]
    dx = da @ w_ih  # dx = W_ihᵀ da
    dh = da @ w_hh  # dh = W_hhᵀ da
    dw_ih, dw_hh = da.T @ x, da.T @ h  # dW_ih = Σ da xᵀ, dW_hh = Σ da hᵀ
    db = torch.sum(da, dim=0)  # db = Σ da
    return dx, dh, dw_ih, dw_hh, db  # dx, dh, dW_ih, dW_hh, db
    # end solution
