"""A custom cell whose candidate needs the forget gate first: the minimal gated unit.

    python train.py --implementation examples/minimal_gated_cell.py:MinimalGatedCell

``custom_cell.py`` shows a simpler cell: there one product W_hh h serves both gates. Here the
candidate multiplies f ⊙ h, so each gate needs its own product.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scratch_cells import Cell


class MinimalGatedCell(Cell):
    """The minimal gated unit: one gate decides how much of h is replaced by the candidate.

        f  = σ(W_f x + b_f + U_f h + d_f)           forget: how much of h is replaced
        n  = tanh(W_n x + b_n + U_n (f ⊙ h) + d_n)  candidate
        h' = (1 - f) ⊙ h + f ⊙ n

    Source: G.-B. Zhou et al., Minimal Gated Unit for Recurrent Neural Networks (2016),
    arXiv:1603.09420.
    """

    class Gates(NamedTuple):  # one field per gate, in the order of the weight rows
        forget: Tensor
        candidate: Tensor

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        f_x, n_x = projected.chunk(2, dim=-1)  # W x + b   (B, 2*H) -> 2 of (B, H)
        # (2*H, H) -> 2 of (H, H), with the names of the equations
        U_f, U_n = self.hidden_to_hidden.weight.chunk(2)  # noqa: N806
        d = self.hidden_to_hidden.bias  # (2*H,), or None if the layer has bias=False
        d_f, d_n = (None, None) if d is None else d.chunk(2)
        f = torch.sigmoid(f_x + F.linear(h, U_f, d_f))
        n = torch.tanh(n_x + F.linear(f * h, U_n, d_n))
        return self.Gates(forget=f, candidate=n)

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        f, n = gates
        return (1 - f) * h + f * n
