"""An LSTM whose gates also read the cell state: peephole connections.

python train.py --implementation examples/peephole_lstm.py:PeepholeLSTMCell
"""

from typing import Any

import torch
from torch import Tensor, nn

from scratch_cells import LSTMCell


class PeepholeLSTMCell(LSTMCell):
    """The LSTM with peepholes: i and f also read c, and o also reads c'.

        i  = σ(W_i x + b_i + U_i h + d_i + p_i ⊙ c)     input
        f  = σ(W_f x + b_f + U_f h + d_f + p_f ⊙ c)     forget
        g  = tanh(W_g x + b_g + U_g h + d_g)            candidate
        c' = f ⊙ c + i ⊙ g
        o  = σ(W_o x + b_o + U_o h + d_o + p_o ⊙ c')    output
        h' = o ⊙ tanh(c')

    The peephole weights p_i, p_f and p_o are vectors of H elements: the rows of ``peephole``.
    They are 0 before training, so that the cell then equals ``LSTMCell``.

    Source: F. Gers & J. Schmidhuber, Recurrent Nets that Time and Count (2000).
    """

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        super().make_weights(device, dtype)
        self.peephole = nn.Parameter(torch.empty(3, self.hidden_size, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.peephole)

    def gates(self, projected: Tensor, state: tuple[Tensor, Tensor]) -> LSTMCell.Gates:
        h, c = state
        p_i, p_f, p_o = self.peephole
        i, f, g, o = (projected + self.hidden_to_hidden(h)).chunk(4, dim=-1)
        i = torch.sigmoid(i + p_i * c)
        f = torch.sigmoid(f + p_f * c)
        g = torch.tanh(g)
        o = torch.sigmoid(o + p_o * (f * c + i * g))  # o reads c'; update() computes c' again
        return self.Gates(input=i, forget=f, candidate=g, output=o)
