"""Backwards through the memory of an LSTM.

The step receives two gradients: dh' of the state that it shows, and dc' of the memory that it
passes to the next step. The memory c' has an effect in both ways, so both are added before they are
used:

    forward     c' = f ⊙ c + i ⊙ g       h' = o ⊙ tanh(c')

    backward    do       = dh' ⊙ tanh(c')
                dc_total = dc' + dh' ⊙ o ⊙ (1 - tanh²(c'))
                di = dc_total ⊙ g        dg = dc_total ⊙ i
                df = dc_total ⊙ c        dc = dc_total ⊙ f

dc is what makes the LSTM remember: between dc_total of this step and that of the step before there
is only a product with f, no matrix and no tanh. The term through h' is the one most often left out.

Shapes: all are (B, H).

Write the body of ``lstm_backward_memory``.
"""

import torch
from torch import Tensor


def lstm_backward_memory(
    dh_next: Tensor,
    dc_next: Tensor,
    c: Tensor,
    c_next: Tensor,
    gates: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, ...]:
    """Return di, df, dg, do and dc."""
    i, f, g, o = gates
    # begin solution: compute do and dc_total, then di, df, dg, dc; return di, df, dg, do, dc
    shown = torch.tanh(c_next)  # tanh(c')
    do = dh_next * shown  # do = dh' ⊙ tanh(c')
    through_h = dh_next * o * (1 - shown**2)  # dh' ⊙ o ⊙ (1 - tanh²(c'))
    dc_total = dc_next + through_h  # dc_total = dc' + dh' ⊙ o ⊙ (1 - tanh²(c'))
    di = dc_total * g  # di = dc_total ⊙ g
    df = dc_total * c  # df = dc_total ⊙ c
    dg = dc_total * i  # dg = dc_total ⊙ i
    dc = dc_total * f  # dc = dc_total ⊙ f
    return di, df, dg, do, dc  # di, df, dg, do, dc
    # end solution
