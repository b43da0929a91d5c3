"""One step of an RNN.

A recurrent network reads a sequence one time step at a time. Its memory is one vector, the hidden
state h. Each step computes the new state h' from the input x and the state h before:

    a  = W_ih x + b_ih + W_hh h + b_hh
    h' = tanh(a)

The equations are about one sample. In code, the B samples of a batch are the rows of x and h, and
the product W x of every sample is ``x @ w.T``. torch.nn has two biases, although one would do.

Shapes: x (B, I); h (B, H); w_ih (H, I); w_hh (H, H); b_ih and b_hh (H,).

Write the body of ``rnn_step``.

Source: J. L. Elman, Finding Structure in Time, Cognitive Science 14 (1990).
"""

import torch
from torch import Tensor


def rnn_step(
    x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> Tensor:
    """Compute h', (B, H)."""
    # begin solution: compute a, then h_next; return h_next
    a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh  # a = W_ih x + b_ih + W_hh h + b_hh
    h_next = torch.tanh(a)  # h' = tanh(a)
    return h_next  # h'
    # end solution
