"""Two biases.

torch.nn's layers add two biases, b_ih and b_hh. In an RNN and in an LSTM only their sum matters, so
one would be enough. In a GRU this is true for two of the three gates:

    r = σ(W_ir x + b_ir + W_hr h + b_hr)
    z = σ(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))

In n, the reset gate multiplies b_hn but not b_in, so adding them would change the function.

Write ``merge_biases``: it returns two biases with which a GRU computes the same as before, where
all that can be merged is in b_ih, and b_hh is zero wherever it can be.

Shapes: b_ih and b_hh (3H,), in torch.nn's order r, z, n; both results too.
"""

import torch
from torch import Tensor


def merge_biases(b_ih: Tensor, b_hh: Tensor) -> tuple[Tensor, Tensor]:
    """Return the merged b_ih and b_hh, both (3H,)."""
    # begin solution: compute the new biases merged_ih and merged_hh; return both
    b_ir, b_iz, b_in = b_ih.chunk(3)  # b_ir, b_iz, b_in: the thirds of b_ih
    b_hr, b_hz, b_hn = b_hh.chunk(3)  # b_hr, b_hz, b_hn: the thirds of b_hh
    merged_ih = torch.cat([b_ir + b_hr, b_iz + b_hz, b_in])  # the sums in r and z, and b_in
    zero = torch.zeros_like(b_hn)  # 0, in place of b_hr and b_hz
    merged_hh = torch.cat([zero, zero, b_hn])  # [0, 0, b_hn]
    return merged_ih, merged_hh  # the merged b_ih, the merged b_hh
    # end solution
