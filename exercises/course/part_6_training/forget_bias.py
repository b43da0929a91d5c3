"""Open the forget gate.

torch.nn draws all biases around 0. Then the forget gate starts near σ(0) = 0.5, and c loses half of
its content at every step: after 20 steps a millionth is left, and so is of the gradient. An LSTM is
not born with a long memory.

The usual remedy is to start the bias of the forget gate at 1 or more:

    share of c that is left after n steps = f^n    with f = σ(b_f)

    b_f      0      1      2      4
    f      0.50   0.73   0.88   0.98

Write two functions. ``open_forget_gate`` returns a copy of a stacked bias (4H,), in torch.nn's
order i, f, g, o, in which all elements of f have one value. ``share_kept`` computes the share
above, for a tensor of biases.

Source: F. Gers et al., Learning to Forget (2000); R. Jozefowicz et al., An Empirical Exploration of
Recurrent Network Architectures (2015).
"""

import torch
from torch import Tensor


def open_forget_gate(bias: Tensor, value: float) -> Tensor:
    """Return a copy of the bias in which the forget gate's part is ``value``; (4H,)."""
    # begin solution: replace the part of the forget gate; return the new bias
    i, f, g, o = bias.chunk(4)  # i, f, g, o: the quarters of the bias
    opened = torch.full_like(f, value)  # the forget gate's part: every element is `value`
    return torch.cat([i, opened, g, o])  # i, the new part, g, o
    # end solution


def share_kept(bias: Tensor, steps: int) -> Tensor:
    """Return the share of c that is left after some steps; the shape of ``bias``."""
    # begin solution: compute f from its bias, and the share after all steps
    f = torch.sigmoid(bias)  # f = σ(b_f)
    return f**steps  # f^n
    # end solution
