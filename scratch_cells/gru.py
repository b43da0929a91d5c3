"""The gated recurrent unit, by hand."""

from typing import NamedTuple

import torch
from torch import Tensor

from scratch_cells.cell import Cell


class GRUCell(Cell):
    """The gated recurrent unit, as torch.nn computes it.

        r  = σ(W_ir x + b_ir + W_hr h + b_hr)            reset: how much of h the candidate sees
        z  = σ(W_iz x + b_iz + W_hz h + b_hz)            update: how much of h is kept
        n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))   candidate
        h' = (1 - z) ⊙ n + z ⊙ h

    W_ih is (W_ir; W_iz; W_in) one below the other, of shape (3*H, I); so are W_hh (3*H, H) and both
    biases. r is applied after the product W_hn h + b_hn, bias included; the paper applies it to h
    before the product, and that is a different function. It is also why the two biases of the
    candidate cannot be merged into one.

    Source: K. Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014),
    arXiv:1406.1078, eqs. 5 to 8; r after the product as in cuDNN and torch.nn.GRUCell.
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
