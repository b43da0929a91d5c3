"""A complete custom cell, to train with one command.

    python train.py --implementation examples/custom_cell.py:UGRNNCell

A cell defines three things: the names of its gates, how the gates are computed, and how they update
the state. Layers, both directions, packed sequences, tracing and training then work as for the
cells of scratch_cells. To see the gates while the trained cell reads a digit:

    python -m gate_explorer runs/NAME --implementation examples/custom_cell.py:UGRNNCell
"""

from typing import NamedTuple

import torch
from torch import Tensor

from scratch_cells import Cell


class UGRNNCell(Cell):
    """The update gate RNN: for each unit, one gate decides how much of h is kept.

        c  = tanh(W_c x + b_c + U_c h + d_c)     candidate
        g  = σ(W_g x + b_g + U_g h + d_g + 1)    update: how much of h is kept
        h' = g ⊙ h + (1 - g) ⊙ c

    With the constant 1, g is about 0.7 at the start of training, so that most of h is kept.

    Source: J. Collins, J. Sohl-Dickstein & D. Sussillo, Capacity and Trainability in Recurrent
    Neural Networks (2017), arXiv:1611.09913.
    """

    class Gates(NamedTuple):  # one field per gate, in the order of the weight rows
        candidate: Tensor
        update: Tensor

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        # projected is W x + b, computed for the whole sequence at once; hidden_to_hidden: U h + d
        c, g = (projected + self.hidden_to_hidden(h)).chunk(2, dim=-1)  # (B, 2*H) -> 2 of (B, H)
        return self.Gates(candidate=torch.tanh(c), update=torch.sigmoid(g + 1))

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        c, g = gates
        return g * h + (1 - g) * c
