"""From the gates of a GRU to its inputs and weights.

The input part of the candidate has the gradient da_n, its recurrent part s = W_hn h + b_hn has da_s
(see ``gru_backward_gates``). So the stacked gradients of the two products differ in the last third:

    da_input     = [da_r, da_z, da_n]        for W_ih x + b_ih
    da_recurrent = [da_r, da_z, da_s]        for W_hh h + b_hh

    dx    = W_ihᵀ da_input                   dW_ih = Σ da_input xᵀ          db_ih = Σ da_input
    dh    = W_hhᵀ da_recurrent + dh' ⊙ z     dW_hh = Σ da_recurrent hᵀ      db_hh = Σ da_recurrent

The term dh' ⊙ z is the direct way from h to h' = (1 - z) ⊙ n + z ⊙ h. It is what lets the gradient
pass through many steps where z is near 1.

Shapes: da_r ... da_s, dh', z and h (B, H); x (B, I); w_ih (3H, I); w_hh (3H, H).

Write the body of ``gru_backward_weights``.
"""

import torch
from torch import Tensor


def gru_backward_weights(
    gates: tuple[Tensor, Tensor, Tensor, Tensor],
    dh_next: Tensor,
    z: Tensor,
    x: Tensor,
    h: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
) -> tuple[Tensor, ...]:
    """Return dx, dh, dw_ih, dw_hh, db_ih and db_hh."""
    da_r, da_z, da_n, da_s = gates
    # begin solution: stack the gradients, then compute and return all six
    da_input = torch.cat([da_r, da_z, da_n], dim=-1)  # [da_r, da_z, da_n]
    da_recurrent = torch.cat([da_r, da_z, da_s], dim=-1)  # [da_r, da_z, da_s]
    dx = da_input @ w_ih  # dx = W_ihᵀ da_input
    dh = da_recurrent @ w_hh + dh_next * z  # dh = W_hhᵀ da_recurrent + dh' ⊙ z
    dw_ih = da_input.T @ x  # dW_ih = Σ da_input xᵀ
    dw_hh = da_recurrent.T @ h  # dW_hh = Σ da_recurrent hᵀ
    db_ih = torch.sum(da_input, dim=0)  # db_ih = Σ da_input
    db_hh = torch.sum(da_recurrent, dim=0)  # db_hh = Σ da_recurrent
    return dx, dh, dw_ih, dw_hh, db_ih, db_hh  # dx, dh, dW_ih, dW_hh, db_ih, db_hh
    # end solution
