"""A recurrent cell of your own, whole.

    python train.py --implementation examples/custom_cell.py:UGRNNCell

A cell says three things: what its gates are called, how they open, and how they change the state.
From those it gets layers, both directions, packed sequences, tracing and training; the optimizer,
the schedule, checkpoints and pictures are those of every other run. See what it does with

    python -m gate_explorer runs/NAME --label 7
"""

from typing import NamedTuple

import torch
from torch import Tensor

from scratch_cells import Cell


class UGRNNCell(Cell):
    """The update gate network: one gate decides, unit by unit, what is kept and what is replaced.

        c  = tanh(W_c x + b_c + U_c h + d_c)     candidate
        g  = σ(W_g x + b_g + U_g h + d_g + 1)    update: how much of h is kept, at first most of it
        h' = g ⊙ h + (1 - g) ⊙ c

    Source: J. Collins, J. Sohl-Dickstein & D. Sussillo, Capacity and Trainability in Recurrent
    Neural Networks (2017), arXiv:1611.09913.
    """

    class Gates(NamedTuple):  # one field for each block of weight rows, in their order
        candidate: Tensor
        update: Tensor

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        # projected is W x + b, done for the whole sequence at once; hidden_to_hidden is U h + d
        c, g = (projected + self.hidden_to_hidden(h)).chunk(2, dim=-1)  # (B, 2*H) -> 2 of (B, H)
        return self.Gates(candidate=torch.tanh(c), update=torch.sigmoid(g + 1))

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        c, g = gates
        return g * h + (1 - g) * c
