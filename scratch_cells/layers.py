"""RNN, GRU and LSTM: one or more layers of a cell, in one direction or both.

Each is a drop-in replacement for the class of torch.nn that has the same name.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from scratch_cells.cell import Cell
from scratch_cells.gru import GRUCell
from scratch_cells.lstm import LSTMCell, ProjectedLSTMCell
from scratch_cells.recurrent_stack import RecurrentStack
from scratch_cells.rnn import RNNCell
from scratch_cells.validation import check_no_projection, check_nonlinearity


@cache
def layer_of(cell_class: type[Cell]) -> type[RecurrentStack]:
    """Return a layer class with torch.nn's signature that applies ``cell_class`` to sequences.

    Its name is the name of the cell class without ``Cell``. The same cell class always gives the
    same layer class, and its layers can be pickled if the cell class can.
    """

    def reduce(layer: RecurrentStack, protocol: Any) -> Any:
        if type(layer) is not layer_class:  # a subclass, which pickle finds by its own name
            return object.__reduce_ex__(layer, protocol)
        return _new_layer, (cell_class,), layer.__getstate__()

    name = cell_class.__name__.removesuffix("Cell")
    attributes = {
        "cell_class": cell_class,
        "__module__": cell_class.__module__,
        "__reduce_ex__": reduce,
    }
    layer_class = type(name, (RecurrentStack,), attributes)
    return layer_class


def _new_layer(cell_class: type[Cell]) -> RecurrentStack:
    """An empty layer of ``layer_of(cell_class)``, whose attributes pickle then restores."""
    layer_class = layer_of(cell_class)
    return layer_class.__new__(layer_class)


class RNN(RecurrentStack):
    """RNN(input_size, hidden_size, num_layers=1, nonlinearity='tanh', bias=True,
    batch_first=False, dropout=0.0, bidirectional=False, device=None, dtype=None)

    Elman's recurrent network: layers of ``RNNCell``, a drop-in replacement
    for torch.nn.RNN. The state is h of shape (layers * directions, batch, hidden_size).
    """

    cell_class = RNNCell

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_no_projection(kwargs)
        if len(args) > 3:
            args, nonlinearity = args[:3] + args[4:], args[3]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        check_nonlinearity(nonlinearity)
        super().__init__(*args, nonlinearity=nonlinearity, **kwargs)
        self.nonlinearity = nonlinearity


class GRU(RecurrentStack):
    """GRU(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
    bidirectional=False, device=None, dtype=None)

    The gated recurrent unit: layers of ``GRUCell``, a drop-in replacement
    for torch.nn.GRU. The state is h of shape (layers * directions, batch, hidden_size).
    """

    cell_class = GRUCell

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_no_projection(kwargs)
        super().__init__(*args, **kwargs)


class LSTM(RecurrentStack):
    """LSTM(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
    bidirectional=False, proj_size=0, device=None, dtype=None)

    The long short-term memory: layers of ``LSTMCell``, a drop-in
    replacement for torch.nn.LSTM. The state is the pair (h, c). c has shape (layers * directions,
    batch, hidden_size). h has the same shape, with ``proj_size`` as the last size if it is not 0.
    """

    cell_class = LSTMCell

    def make_cell(self, input_size: int, **options: Any) -> Cell:
        if not self.proj_size:
            return super().make_cell(input_size, **options)
        return ProjectedLSTMCell(
            input_size, self.hidden_size, self.bias, proj_size=self.proj_size, **options
        )

    def autocast_dtype(self, state: Tensor, packed: bool) -> torch.dtype | None:
        """As the base class; on the CPU, oneDNN also keeps the state in the autocast dtype.

        torch.nn.LSTM uses oneDNN for float32 input that is not packed, without a projection.
        """
        one_dnn = not packed and not self.proj_size and state.dtype == torch.float32
        if one_dnn and state.is_cpu and torch.is_autocast_enabled("cpu"):
            return torch.get_autocast_dtype("cpu")
        return super().autocast_dtype(state, packed)
