"""The interface of every recurrent layer in this project."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

State = Tensor | tuple[Tensor, ...]
"""The state between two time steps: h, or for an LSTM the pair (h, c)."""


def final_hidden(state: State | list[State], directions: int) -> Tensor:
    """Return the last layer's final hidden state, with both directions concatenated.

    For one direction this equals ``output[:, -1]`` (with ``batch_first``). For two directions
    ``output[:, -1]`` would be wrong: its reverse half has read only the last time step. For packed
    input the result belongs to the last time step of each sequence.

    Args:
        state: final state of a layer: h_n of shape (layers * directions, batch, size), or a tuple
            whose first part is h_n. Without the batch dimension for unbatched input. For layers of
            different sizes, a list with the final state of each layer.
        directions: 1, or 2 for a bidirectional layer.

    Returns:
        (batch, directions * size), or (directions * size,) for unbatched input.
    """
    last = state[-1] if isinstance(state, list) else state
    h_n = last[0] if isinstance(last, tuple) else last
    return torch.cat(h_n[-directions:].unbind(0), dim=-1)


class RecurrentLayer(nn.Module, ABC):
    """A drop-in replacement for torch.nn.RNN, GRU or LSTM.

    Constructor, forward, state and errors are the same as in torch.nn.
    """

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    @abstractmethod
    def forward(
        self, input: Tensor | PackedSequence, hx: Any = None
    ) -> tuple[Tensor | PackedSequence, Any]:
        """Process a sequence.

        Args:
            input: (time, batch, input_size); (batch, time, input_size) if ``batch_first``;
                (time, input_size) unbatched; or a PackedSequence.
            hx: initial state, zeros if None: h_0 of shape (layers * directions, batch, size), or
                for an LSTM the pair (h_0, c_0). Without the batch dimension for unbatched input.

        Returns:
            The last layer's hidden state at every time step, with the layout of the input, and the
            final state, with the layout of ``hx``.
        """
