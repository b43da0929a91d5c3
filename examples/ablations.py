"""LSTM and GRU with one part removed, to measure what the part does.

    python train.py --implementation examples/ablations.py:LSTMWithoutForgetGate

A removed gate is 1 at all times: everything passes. Only the update gate of the GRU is 0, because
with 1 the state would never change. The weights of a removed gate exist and are not used, so that
all cells have the same weights for the same seed.
"""

import torch
from torch import Tensor

from scratch_cells import GRUCell, LSTMCell

State = tuple[Tensor, Tensor]


class LSTMWithoutForgetGate(LSTMCell):
    """c' = c + i ⊙ g: nothing is ever forgotten. This is the LSTM of 1997."""

    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        gates = super().gates(projected, state)
        return gates._replace(forget=torch.ones_like(gates.forget))


class LSTMWithoutInputGate(LSTMCell):
    """c' = f ⊙ c + g: every candidate is added in full."""

    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        gates = super().gates(projected, state)
        return gates._replace(input=torch.ones_like(gates.input))


class LSTMWithoutOutputGate(LSTMCell):
    """h' = tanh(c'): the whole memory is shown at every step."""

    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        gates = super().gates(projected, state)
        return gates._replace(output=torch.ones_like(gates.output))


class LSTMWithCoupledGates(LSTMCell):
    """c' = (1 - i) ⊙ c + i ⊙ g: what is added replaces what is forgotten."""

    def gates(self, projected: Tensor, state: State) -> LSTMCell.Gates:
        gates = super().gates(projected, state)
        return gates._replace(forget=1 - gates.input)


class GRUWithoutResetGate(GRUCell):
    """n = tanh(W_in x + b_in + W_hn h + b_hn): the candidate always reads all of h."""

    def gates(self, projected: Tensor, h: Tensor) -> GRUCell.Gates:
        _, z_x, n_x = projected.chunk(3, dim=-1)
        _, z_h, n_h = self.hidden_to_hidden(h).chunk(3, dim=-1)
        z = torch.sigmoid(z_x + z_h)
        return self.Gates(reset=torch.ones_like(z), update=z, candidate=torch.tanh(n_x + n_h))


class GRUWithoutUpdateGate(GRUCell):
    """h' = n: nothing is kept except through the candidate."""

    def gates(self, projected: Tensor, h: Tensor) -> GRUCell.Gates:
        gates = super().gates(projected, h)
        return gates._replace(update=torch.zeros_like(gates.update))
