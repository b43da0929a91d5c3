"""Layers made of layers: a learned initial state, and layers of different sizes.

Both work with any layer that has torch.nn's interface, scratch or builtin.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.cell import map_state, parts, whole
from scratch_cells.validation import check_layer_arguments
from shared_interface import RecurrentLayer, State

OPTIONS = tuple(RecurrentLayer.__annotations__)
"""The options that every recurrent layer has as attributes."""


class LearnedInitialState(RecurrentLayer):
    """A layer whose initial state is a parameter, the same for every sequence of a batch.

    Args:
        layer: any layer with torch.nn's interface.

    Attributes:
        layer: the layer.
        initial_state: one parameter for each part of the state, (layers * directions, size), zeros
            before training.

    Shape:
        As ``layer``. If the call is given a state, that state is used instead.

    Raises:
        TypeError: ``layer`` is not a layer, or is a ``LayerStack``.
    """

    def __init__(self, layer: RecurrentLayer) -> None:
        super().__init__()
        if isinstance(layer, LayerStack) or not all(hasattr(layer, name) for name in OPTIONS):
            raise TypeError(
                f"layer is a {type(layer).__name__}: expected a layer with torch.nn's interface; "
                "in a LayerStack, each layer can be a LearnedInitialState"
            )
        for name in OPTIONS:
            setattr(self, name, getattr(layer, name))
        self.layer = layer
        self.initial_state = nn.ParameterList(map(torch.zeros_like, _final_state(layer)))

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        """Read a sequence: see ``RecurrentLayer.forward``."""
        return self.layer(input, self.state_for(input) if hx is None else hx)

    def state_for(self, input: Tensor | PackedSequence) -> State:
        """The initial state for an input, in the layout of the argument ``hx`` of the layer."""
        if isinstance(input, PackedSequence):
            return self.initial(int(input.batch_sizes[0]))
        if input.dim() != 3:  # unbatched, or an input for which the layer raises
            return whole(tuple(self.initial_state))
        return self.initial(input.size(0 if self.batch_first else 1))

    def initial(self, batch: int) -> State:
        """The initial state of ``batch`` sequences, (layers * directions, B, size) each part."""
        state = whole(tuple(self.initial_state))
        return map_state(lambda part: part.unsqueeze(1).repeat(1, batch, 1), state)


@torch.no_grad()
def _final_state(layer: RecurrentLayer) -> tuple[Tensor, ...]:
    """The state of a layer after one time step of zeros, unbatched."""
    modes = {module: module.training for module in layer.modules()}
    layer.eval()  # dropout would draw from the random generator
    _, state = layer(next(layer.parameters()).new_zeros(1, layer.input_size))
    for module, was_training in modes.items():
        module.training = was_training
    return parts(state)


class LayerStack(RecurrentLayer):
    """Layers of different sizes: ``LayerStack(LSTM, 28, [128, 64])``.

    Args:
        layer_class: class of every layer, with torch.nn's interface.
        input_size: number of features of the input at one time step.
        hidden_sizes: number of units of each layer, the first layer first.
        dropout: probability that an element is set to zero between layers, in training mode.
        options: further arguments of ``layer_class``, such as ``batch_first``.

    Attributes:
        layers: the layers, with ``num_layers=1`` each.
        hidden_size: number of units of the last layer.

    Shape:
        The input and the output are those of the layers. The state is a list with the state of
        each layer, because tensors of different sizes cannot be stacked.

    Raises:
        TypeError, ValueError: an argument is invalid.
    """

    def __init__(
        self,
        layer_class: Callable[..., RecurrentLayer],
        input_size: int,
        hidden_sizes: Sequence[int],
        *,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        if not isinstance(hidden_sizes, Sequence):
            raise TypeError(
                "hidden_sizes should be a list of the number of units of each layer, got: "
                f"{type(hidden_sizes).__name__}"
            )
        if "num_layers" in options:
            raise TypeError("num_layers: hidden_sizes determines the number of layers")
        if not hidden_sizes:
            raise ValueError("hidden_sizes is empty: expected the number of units of each layer")
        check_layer_arguments(
            input_size, hidden_sizes[-1], len(hidden_sizes), True, False, dropout, 0
        )
        layers: list[RecurrentLayer] = []
        features = input_size
        for size in hidden_sizes:
            layer = layer_class(features, size, **options)
            layers.append(layer)
            features = (2 if layer.bidirectional else 1) * (layer.proj_size or size)
        for name in OPTIONS:
            setattr(self, name, getattr(layers[-1], name))
        self.input_size, self.num_layers, self.dropout = input_size, len(layers), float(dropout)
        self.layers = nn.ModuleList(layers)

    def forward(self, input: Tensor | PackedSequence, hx: list[State] | None = None) -> Any:
        """Read a sequence: see ``RecurrentLayer.forward``; ``hx`` is a list of states."""
        if hx is not None and len(hx) != len(self.layers):
            raise ValueError(f"hx: expected a list of {len(self.layers)} states, got {len(hx)}")
        states = []
        for index, layer in enumerate(self.layers):
            if index > 0:
                input = self._drop(input)
            input, state = layer(input, None if hx is None else hx[index])
            states.append(state)
        return input, states

    def _drop(self, output: Tensor | PackedSequence) -> Tensor | PackedSequence:
        if isinstance(output, PackedSequence):
            data = F.dropout(output.data, self.dropout, self.training)
            return PackedSequence(data, *output[1:])
        return F.dropout(output, self.dropout, self.training)
