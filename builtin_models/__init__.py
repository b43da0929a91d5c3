"""torch.nn's own recurrent layers and cells, with the interface of this project.

Each class is a subclass of torch.nn's and adds no computation. The names are those of
scratch_cells, so one package replaces the other by changing an import or a command-line option.
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
