"""Your own cell.

There is no proof that four gates, or two, are the best choice. Invent a cell. It needs three
things:

    Gates       a NamedTuple with one field for each gate, in the order of the weight rows
    gates       from W x + b and h: the gates of one step, (B, H) each
    update      from the gates and h: the state after the step, (B, H)

``Cell`` does the rest: it makes two ``nn.Linear`` with G*H rows for G gates. ``projected`` is what
the first returns for x, computed for the whole sequence at once, (B, G*H).
``self.hidden_to_hidden(h)`` is what the second returns, (B, G*H) too.

Any cell passes that remembers, reads its input, uses every gate, keeps the samples of a batch
apart, has the right gradients, and learns: the check trains it for some seconds on the 8 x 8
digits, row by row. Then train it on MNIST by a flag, and look at its gates while it reads a digit:

    python train.py --implementation FILE.py:OwnCell
    python -m gate_explorer runs/NAME --implementation FILE.py:OwnCell

FILE.py is this file: ``my_exercises/part_7_own_cell/own_cell.py``, and NAME the folder that the
first command prints.

Write the fields of ``Gates`` and the bodies of ``gates`` and ``update``.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from scratch_cells import Cell


class OwnCell(Cell):
    """A cell that ... (describe your idea and its equations here)."""

    class Gates(NamedTuple):
        # begin solution: name the gates, one a line, such as keep: Tensor
        candidate: Tensor
        keep: Tensor
        # end solution

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        """Return the gates of one step, (B, H) each."""
        # begin solution: compute the gates from projected and h; return self.Gates(...)
        a = projected + self.hidden_to_hidden(h)
        a_n, a_k = a.chunk(2, dim=-1)
        return self.Gates(candidate=torch.tanh(a_n), keep=torch.sigmoid(a_k))
        # end solution

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        """Return the state after the step, (B, H)."""
        # begin solution: compute h_next from the gates and h; return h_next
        n, keep = gates
        h_next = keep * h + (1 - keep) * n
        return h_next
        # end solution
