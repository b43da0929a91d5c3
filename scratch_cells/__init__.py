"""RNN, GRU and LSTM written by hand, each a drop-in replacement for torch.nn's class."""

from scratch_cells.cell import Cell
from scratch_cells.composition import LayerStack, LearnedInitialState
from scratch_cells.convert import from_torch, to_torch
from scratch_cells.gru import GRUCell
from scratch_cells.layers import GRU, LSTM, RNN, layer_of
from scratch_cells.lstm import LSTMCell
from scratch_cells.rnn import RNNCell
from scratch_cells.streaming import Stream, stream
from scratch_cells.trace import CellTrace, Trace, trace

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "CellTrace",
    "GRUCell",
    "LSTMCell",
    "LayerStack",
    "LearnedInitialState",
    "RNNCell",
    "Stream",
    "Trace",
    "from_torch",
    "layer_of",
    "stream",
    "to_torch",
    "trace",
]
