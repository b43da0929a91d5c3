"""The contract that every recurrent layer of this project keeps, whoever wrote its arithmetic."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

State = Tensor | tuple[Tensor, ...]
"""What a layer carries from step to step: h, or for an LSTM the pair (h, c)."""


def final_hidden(state: State, directions: int) -> Tensor:
    """The last layer's hidden state at each sequence's true end, both directions side by side.

    For one direction this is the familiar ``output[:, -1]``. For two it is right where
    ``output[:, -1]`` is wrong: there the reverse half has read one step only. For packed input
    it is each sequence's own last step.

    Args:
        state: final state of a layer: h_n of shape (layers * directions, batch, size), or a tuple
            whose first part is h_n. Unbatched: without the batch axis.
        directions: 1, or 2 for a bidirectional layer.

    Returns:
        (batch, directions * size), or (directions * size,) for unbatched input.
    """
    h_n = state[0] if isinstance(state, tuple) else state
    return torch.cat(h_n[-directions:].unbind(0), dim=-1)


class RecurrentLayer(nn.Module, ABC):
    """A drop-in for torch.nn.RNN, GRU or LSTM: the same constructor, forward, state and errors."""

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
        """Read a sequence.

        Args:
            input: (time, batch, input_size); (batch, time, input_size) if ``batch_first``;
                (time, input_size) unbatched; or a PackedSequence.
            hx: initial state, zeros if None: h_0 of shape (layers * directions, batch, size), or
                for an LSTM the pair (h_0, c_0). Unbatched: without the batch axis.

        Returns:
            The last layer's hidden state at every step, laid out as the input is, and the final
            state, laid out as ``hx`` is.
        """

    def final_hidden(self, state: State) -> Tensor:
        """:func:`final_hidden` of this layer's final state: (batch, directions * size)."""
        return final_hidden(state, directions=2 if self.bidirectional else 1)
