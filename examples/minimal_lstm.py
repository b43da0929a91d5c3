"""An LSTM whose gates do not read h, so that all time steps can be computed in parallel.

    python train.py --implementation examples/minimal_lstm.py:MinLSTM

``MinLSTMCell`` is the cell, computed step by step. ``MinLSTM`` is a layer of it that computes all
steps with a parallel scan, and equals the loop.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from examples.linear_scan import Coefficients, scan_layer_of
from scratch_cells import Cell


class MinLSTMCell(Cell):
    """The minimal LSTM: two gates and a candidate that are functions of x alone.

        i  = σ(W_i x + b_i)    input
        f  = σ(W_f x + b_f)    forget
        n  = W_n x + b_n       candidate
        h' = (f ⊙ h + i ⊙ n) / (f + i)

    The division makes both factors sum to 1, so that the scale of h does not depend on time.

    Source: L. Feng et al., Were RNNs All We Needed? (2024), arXiv:2410.01201, section 3.2.
    """

    class Gates(NamedTuple):
        input: Tensor
        forget: Tensor
        candidate: Tensor

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        rows = 3 * self.hidden_size
        self.input_to_hidden = nn.Linear(self.input_size, rows, self.bias, device, dtype)
        self.hidden_to_hidden = None  # the gates do not read h

    def torch_names(self) -> dict[str, str]:
        return {"weight_ih": "input_to_hidden.weight", "bias_ih": "input_to_hidden.bias"}

    def gates(self, projected: Tensor, h: Tensor | None = None) -> Gates:
        i, f, n = projected.chunk(3, dim=-1)  # (..., 3*H) -> 3 of (..., H)
        return self.Gates(torch.sigmoid(i), torch.sigmoid(f), n)

    def coefficients(self, gates: Gates) -> Coefficients:
        i, f, n = gates
        return Coefficients(f / (f + i), i / (f + i) * n)

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        kept, added = self.coefficients(gates)
        return kept * h + added


MinLSTM = scan_layer_of(MinLSTMCell)
