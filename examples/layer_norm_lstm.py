"""An LSTM with layer normalization inside the step.

python train.py --implementation examples/layer_norm_lstm.py:LayerNormLSTMCell
"""

from typing import Any

import torch
from torch import Tensor, nn

from scratch_cells import LSTMCell


class LayerNormLSTMCell(LSTMCell):
    """The LSTM with layer normalization of both products and of the cell state.

        i, f, g, o = LN_x(W x) + LN_h(U h)    before the activations
        c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g)
        h' = σ(o) ⊙ tanh(LN_c(c'))

    LN subtracts the mean over the elements of one vector, divides by the standard deviation, and
    applies a gain and a bias of its own. W and U have no bias; LN_h has none either.

    Source: J. L. Ba, J. R. Kiros & G. E. Hinton, Layer Normalization (2016), arXiv:1607.06450,
    eqs. 20 to 22.
    """

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        H = self.hidden_size  # noqa: N806   as in the shapes
        place = {"device": device, "dtype": dtype}
        self.input_to_hidden = nn.Linear(self.input_size, 4 * H, bias=False, **place)
        self.hidden_to_hidden = nn.Linear(H, 4 * H, bias=False, **place)
        self.norm_x = nn.LayerNorm(4 * H, bias=self.bias, **place)
        self.norm_h = nn.LayerNorm(4 * H, bias=False, **place)
        self.norm_c = nn.LayerNorm(H, bias=self.bias, **place)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias:  # LN is steep at a constant vector: without biases, c' is 0 while x and h are
            nn.init.uniform_(self.norm_x.bias, -(self.hidden_size**-0.5), self.hidden_size**-0.5)

    def project(self, x: Tensor) -> Tensor:
        return self.norm_x(self.input_to_hidden(x))  # (..., I) -> (..., 4*H)

    def gates(self, projected: Tensor, state: tuple[Tensor, Tensor]) -> LSTMCell.Gates:
        h, _ = state
        i, f, g, o = (projected + self.norm_h(self.hidden_to_hidden(h))).chunk(4, dim=-1)
        return self.Gates(torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o))

    def update(self, gates: LSTMCell.Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates
        _, c = state
        c = f * c + i * g
        h = o * torch.tanh(self.norm_c(c))
        return h, c
