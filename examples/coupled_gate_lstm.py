"""An LSTM with one gate less: the forget gate is one minus the input gate.

python train.py --implementation examples/coupled_gate_lstm.py:CoupledGateLSTMCell
"""

from typing import NamedTuple

import torch
from torch import Tensor

from scratch_cells import Cell


class CoupledGateLSTMCell(Cell):
    """The LSTM with coupled input and forget gates: what enters c replaces what is forgotten.

        i  = σ(W_i x + b_i + U_i h + d_i)       input: how much of c is replaced by g
        g  = tanh(W_g x + b_g + U_g h + d_g)    candidate
        o  = σ(W_o x + b_o + U_o h + d_o)       output
        c' = (1 - i) ⊙ c + i ⊙ g
        h' = o ⊙ tanh(c')

    The state is the pair (h, c). Every element of c stays between -1 and 1 if it starts there.

    Source: K. Greff et al., LSTM: A Search Space Odyssey (2015), arXiv:1503.04069, variant CIFG.
    """

    state_names = ("hidden", "cell")

    class Gates(NamedTuple):
        input: Tensor
        candidate: Tensor
        output: Tensor

    def gates(self, projected: Tensor, state: tuple[Tensor, Tensor]) -> Gates:
        h, _ = state
        # W x + b + U h + d   (B, 3*H) -> 3 of (B, H)
        i, g, o = (projected + self.hidden_to_hidden(h)).chunk(3, dim=-1)
        return self.Gates(torch.sigmoid(i), torch.tanh(g), torch.sigmoid(o))

    def update(self, gates: Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        i, g, o = gates
        _, c = state
        c = (1 - i) * c + i * g
        h = o * torch.tanh(c)
        return h, c
