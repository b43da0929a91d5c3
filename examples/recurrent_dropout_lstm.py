"""An LSTM with dropout inside the recurrence that never erases the memory.

python train.py --implementation examples/recurrent_dropout_lstm.py:RecurrentDropoutLSTMCell
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratch_cells import LSTMCell


class RecurrentDropoutLSTMCell(LSTMCell):
    """The LSTM with dropout of the candidate, in training mode.

        c' = f ⊙ c + i ⊙ d(g)    d sets elements to 0 with probability p and divides by 1 - p
        h' = o ⊙ tanh(c')

    The gates are those of ``LSTMCell``. Only what is added to c is dropped: dropout of c itself
    would erase a share p of the memory at every step. In evaluation mode d(g) = g.

    Args:
        recurrent_dropout: the probability p.

    Source: S. Semeniuta, A. Severyn & E. Barth, Recurrent Dropout without Memory Loss (2016),
    arXiv:1603.05118.
    """

    def __init__(self, *args: Any, recurrent_dropout: float = 0.1, **options: Any) -> None:
        super().__init__(*args, **options)
        self.recurrent_dropout = recurrent_dropout

    def update(self, gates: LSTMCell.Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates
        _, c = state
        c = f * c + i * F.dropout(g, self.recurrent_dropout, self.training)
        h = o * torch.tanh(c)
        return h, c
