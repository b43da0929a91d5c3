"""One step of an LSTM.

An LSTM has two states. h is what the next layer sees; c, the cell state, is the memory. Three gates
with values between 0 and 1 multiply what they control: f keeps a part of c, i lets in a part of the
candidate g, and o decides which part of the memory becomes h.

    a  = W_ih x + b_ih + W_hh h + b_hh      rows in the order i, f, g, o
    i  = σ(a_i)        f = σ(a_f)        g = tanh(a_g)        o = σ(a_o)
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')

Shapes: x (B, I); h and c (B, H); w_ih (4H, I); w_hh (4H, H); b_ih and b_hh (4H).

Write the body of ``lstm_step``.
"""

import torch
from torch import Tensor


def lstm_step(
    x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute h' and c', both (B, H)."""
    # begin solution: compute the gates i, f, g, o, then c_next and h_next; return h_next, c_next
    a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh  # a = W_ih x + b_ih + W_hh h + b_hh
    a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)  # a_i, a_f, a_g, a_o: the quarters of a, in this order
    i = torch.sigmoid(a_i)  # i = σ(a_i)
    f = torch.sigmoid(a_f)  # f = σ(a_f)
    g = torch.tanh(a_g)  # g = tanh(a_g)
    o = torch.sigmoid(a_o)  # o = σ(a_o)
    c_next = f * c + i * g  # c' = f ⊙ c + i ⊙ g
    h_next = o * torch.tanh(c_next)  # h' = o ⊙ tanh(c')
    return h_next, c_next
    # end solution
