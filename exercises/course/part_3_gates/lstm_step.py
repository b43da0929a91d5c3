"""One step of an LSTM with fused gates.

Four matrices of size (H, I) can be stacked to one of size (4H, I). Then a single product computes
the sums of all gates, which is much faster than four small products. The result is split again:

    a  = W_ih x + b_ih + W_hh h + b_hh      (B, 4H), columns in the order i, f, g, o
    i  = σ(a_i)        f = σ(a_f)        g = tanh(a_g)        o = σ(a_o)
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')

a_i is the first quarter of the columns of a, a_f the second, and so on. ``chunk`` splits a into
quarters. ``a.view(B, H, 4)`` does not: it would give every gate each fourth column.

Shapes: x (B, I); h and c (B, H); w_ih (4H, I); w_hh (4H, H); b_ih and b_hh (4H,).

Write the body of ``lstm_step``.
"""

import torch
from torch import Tensor


def lstm_step(
    x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute h' and c', both (B, H)."""
    # begin solution: compute a, the gates, c_next and h_next; return h_next, c_next
    a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh  # a = W_ih x + b_ih + W_hh h + b_hh
    a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)  # the quarters of a: a_i, a_f, a_g, a_o
    i = torch.sigmoid(a_i)  # i = σ(a_i)
    f = torch.sigmoid(a_f)  # f = σ(a_f)
    g = torch.tanh(a_g)  # g = tanh(a_g)
    o = torch.sigmoid(a_o)  # o = σ(a_o)
    c_next = f * c + i * g  # c' = f ⊙ c + i ⊙ g
    h_next = o * torch.tanh(c_next)  # h' = o ⊙ tanh(c')
    return h_next, c_next  # h', c'
    # end solution
