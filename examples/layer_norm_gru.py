"""A GRU with layer normalization inside the step.

python train.py --implementation examples/layer_norm_gru.py:LayerNormGRUCell
"""

from typing import Any

import torch
from torch import Tensor, nn

from scratch_cells import GRUCell


class LayerNormGRUCell(GRUCell):
    """The GRU with layer normalization of both products, for the gates and for the candidate.

        r, z = LN_x(W x) + LN_h(U h)                  reset and update, before the sigmoid
        n  = tanh(LN_nx(W_n x) + σ(r) ⊙ LN_nh(U_n h))   candidate
        h' = (1 - σ(z)) ⊙ n + σ(z) ⊙ h

    LN subtracts the mean over the elements of one vector, divides by the standard deviation, and
    applies a gain and a bias of its own. W and U have no bias.

    Source: J. L. Ba, J. R. Kiros & G. E. Hinton, Layer Normalization (2016), arXiv:1607.06450,
    supplement, with torch.nn's z, which is one minus that of the paper.
    """

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        H = self.hidden_size  # noqa: N806   as in the shapes
        place = {"device": device, "dtype": dtype}
        self.input_to_hidden = nn.Linear(self.input_size, 3 * H, bias=False, **place)
        self.hidden_to_hidden = nn.Linear(H, 3 * H, bias=False, **place)
        self.norm_x, self.norm_h = (nn.LayerNorm(2 * H, bias=self.bias, **place) for _ in range(2))
        self.norm_nx, self.norm_nh = (nn.LayerNorm(H, bias=self.bias, **place) for _ in range(2))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias:  # LN is steep at a constant vector: without biases, h' is 0 while x and h are
            nn.init.uniform_(self.norm_nx.bias, -(self.hidden_size**-0.5), self.hidden_size**-0.5)

    def gates(self, projected: Tensor, h: Tensor) -> GRUCell.Gates:
        H = self.hidden_size  # noqa: N806
        rz_x, n_x = projected.split([2 * H, H], dim=-1)  # W x   (B, 3*H)
        rz_h, n_h = self.hidden_to_hidden(h).split([2 * H, H], dim=-1)  # U h
        r, z = torch.sigmoid(self.norm_x(rz_x) + self.norm_h(rz_h)).chunk(2, dim=-1)
        n = torch.tanh(self.norm_nx(n_x) + r * self.norm_nh(n_h))
        return self.Gates(reset=r, update=z, candidate=n)
