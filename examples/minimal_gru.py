"""A GRU whose gates do not read h, so that all time steps can be computed in parallel.

    python train.py --implementation examples/minimal_gru.py:MinGRU

``MinGRUCell`` is the cell, computed step by step. ``MinGRU`` is a layer of it that computes all
steps with a parallel scan, and equals the loop.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from examples.linear_scan import Coefficients, scan_layer_of
from scratch_cells import Cell


class MinGRUCell(Cell):
    """The minimal GRU: the gate and the candidate are functions of x alone.

        z  = σ(W_z x + b_z)    update: how much of h is replaced
        n  = W_n x + b_n       candidate
        h' = (1 - z) ⊙ h + z ⊙ n

    Source: L. Feng et al., Were RNNs All We Needed? (2024), arXiv:2410.01201, section 3.1.
    """

    class Gates(NamedTuple):
        update: Tensor
        candidate: Tensor

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        rows = 2 * self.hidden_size
        self.input_to_hidden = nn.Linear(self.input_size, rows, self.bias, device, dtype)
        self.hidden_to_hidden = None  # the gates do not read h

    def torch_names(self) -> dict[str, str]:
        return {"weight_ih": "input_to_hidden.weight", "bias_ih": "input_to_hidden.bias"}

    def gates(self, projected: Tensor, h: Tensor | None = None) -> Gates:
        z, n = projected.chunk(2, dim=-1)  # (..., 2*H) -> 2 of (..., H)
        return self.Gates(update=torch.sigmoid(z), candidate=n)

    def coefficients(self, gates: Gates) -> Coefficients:
        z, n = gates
        return Coefficients(1 - z, z * n)  # h' = (1 - z) ⊙ h + z ⊙ n

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        kept, added = self.coefficients(gates)
        return kept * h + added


MinGRU = scan_layer_of(MinGRUCell)
