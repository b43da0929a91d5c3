"""An LSTM whose units keep their old state at random: zoneout.

python train.py --implementation examples/zoneout_lstm.py:ZoneoutLSTMCell
"""

from typing import Any

import torch
from torch import Tensor

from scratch_cells import LSTMCell


class ZoneoutLSTMCell(LSTMCell):
    """The LSTM with zoneout: in training, each unit keeps its old state with a probability.

        c' = m_c ⊙ c + (1 - m_c) ⊙ ĉ    ĉ and ĥ are the new state of LSTMCell
        h' = m_h ⊙ h + (1 - m_h) ⊙ ĥ

    The elements of m_c are 1 with probability ``zoneout_cell`` and 0 otherwise, those of m_h with
    ``zoneout_hidden``, drawn at every step. In evaluation mode they are the probabilities.

    Args:
        zoneout_hidden, zoneout_cell: the probabilities.

    Source: D. Krueger et al., Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations
    (2016), arXiv:1606.01305.
    """

    def __init__(
        self, *args: Any, zoneout_hidden: float = 0.05, zoneout_cell: float = 0.05, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.zoneout_hidden, self.zoneout_cell = zoneout_hidden, zoneout_cell

    def update(self, gates: LSTMCell.Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        new_h, new_c = super().update(gates, state)
        return self.keep(h, new_h, self.zoneout_hidden), self.keep(c, new_c, self.zoneout_cell)

    def keep(self, old: Tensor, new: Tensor, probability: float) -> Tensor:
        """Mix the old and the new values of one part of the state, (B, H) each."""
        if not self.training:
            return probability * old + (1 - probability) * new
        return torch.where(torch.rand_like(new) < probability, old, new)
