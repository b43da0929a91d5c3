"""torch.nn's own recurrent layers and cells behind the project's one interface.

Nothing is computed here: each class *is* torch.nn's, with the name that scratch_cells gives its
hand-written twin, so that the two are swapped by changing an import, or a flag.
"""

from torch import nn
from torch.nn import GRUCell, LSTMCell, RNNCell

from shared_interface import RecurrentLayer


class RNN(nn.RNN, RecurrentLayer):
    """torch.nn.RNN as a RecurrentLayer."""


class GRU(nn.GRU, RecurrentLayer):
    """torch.nn.GRU as a RecurrentLayer."""


class LSTM(nn.LSTM, RecurrentLayer):
    """torch.nn.LSTM as a RecurrentLayer."""


__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]
