"""The memory of an LSTM.

The cell state c is the memory. It changes only by a product and a sum, element by element. There is
no matrix and no tanh between c and c', so a value can stay in c for many steps, and so can its
gradient:

    c' = f ⊙ c + i ⊙ g      keep a share f of the memory, add a share i of the candidate
    h' = o ⊙ tanh(c')       show a share o of the memory

h' is computed from the new memory c'. The tanh bounds what is shown; it must not be stored in c'.

Shapes: c, i, f, g, o, h' and c' are all (B, H).

Write the body of ``lstm_memory``.
"""

import torch
from torch import Tensor


def lstm_memory(c: Tensor, i: Tensor, f: Tensor, g: Tensor, o: Tensor) -> tuple[Tensor, Tensor]:
    """Return h' and c', both (B, H)."""
    # begin solution: compute c_next, then h_next; return h_next, c_next
    c_next = f * c + i * g  # c' = f ⊙ c + i ⊙ g
    h_next = o * torch.tanh(c_next)  # h' = o ⊙ tanh(c')
    return h_next, c_next  # h', c'
    # end solution
