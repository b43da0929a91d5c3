"""The gated recurrent unit (GRU) cell, written by hand.

By default a layer, ``GRU(...)``, computes the same equations with a faster backend.
``GRU(..., backend="plain")`` runs the code below, so a breakpoint in it is reached; so does a call
of ``GRUCell`` itself.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from scratch_cells.cell import Cell


class GRUCell(Cell):
    """The gated recurrent unit, with the equations of torch.nn.GRUCell.

        r  = σ(W_ir x + b_ir + W_hr h + b_hr)            reset: how much of h enters n
        z  = σ(W_iz x + b_iz + W_hz h + b_hz)            update: how much of h is kept
        n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))   candidate
        h' = (1 - z) ⊙ n + z ⊙ h

    W_ih (3*H, I) is W_ir, W_iz and W_in stacked along dimension 0. W_hh (3*H, H) and both biases
    are stacked in the same order. r multiplies the product W_hn h + b_hn, bias included. The paper
    multiplies h by r before the product, which is a different function. Because r multiplies b_hn
    and not b_in, the two biases of the candidate cannot be merged.

    Source: K. Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014),
    arXiv:1406.1078, eqs. 5 to 8, with r after the product as in cuDNN and torch.nn.GRUCell.
    """

    class Gates(NamedTuple):
        reset: Tensor
        update: Tensor
        candidate: Tensor

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        r_x, z_x, n_x = projected.chunk(3, dim=-1)  # W_ih x + b_ih   (B, 3*H) -> 3 of (B, H)
        r_h, z_h, n_h = self.hidden_to_hidden(h).chunk(3, dim=-1)  # W_hh h + b_hh
        r = torch.sigmoid(r_x + r_h)
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + r * n_h)
        return self.Gates(reset=r, update=z, candidate=n)

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        _, z, n = gates
        return (1 - z) * n + z * h
