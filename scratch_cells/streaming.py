"""Read a sequence chunk by chunk, keeping the state between the calls."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.cell import map_state
from scratch_cells.composition import LayerStack, LearnedInitialState
from shared_interface import State


class Stream:
    """A layer and the state that it has reached: see ``stream``.

    Attributes:
        layer: the layer.
        state: the state after the last chunk, as the layer returns it; None before the first one.
    """

    def __init__(self, layer: nn.Module, *, detach: bool, state: State | None) -> None:
        self.layer = layer
        self.detach = detach
        self.state = state

    def __call__(self, chunk: Tensor) -> Tensor:
        """Read the next time steps.

        Args:
            chunk: input of the layer, with any number of time steps.

        Returns:
            The output of the layer for these time steps.

        Raises:
            TypeError: the chunk is packed.
        """
        if isinstance(chunk, PackedSequence):
            raise TypeError("a chunk of a stream should be a Tensor, got: PackedSequence")
        state = self.state
        if state is not None and self.detach:
            state = map_nested(Tensor.detach, state)
        output, self.state = self.layer(chunk, state)
        result: Tensor = output
        return result

    def reset(self, sequences: Tensor | None = None) -> None:
        """Restart from the state in which the layer begins: zeros, or its learned initial state.

        Args:
            sequences: which sequences of the batch, (B,) bool; all of them if None.

        Raises:
            TypeError, ValueError: ``sequences`` is not bool, or does not have the shape (B,).
        """
        if sequences is not None:
            check_sequences(sequences, self.state)
        if sequences is None or self.state is None:
            self.state = None
        else:
            self.state = restarted(self.layer, self.state, sequences)


def map_nested(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply a function to each tensor of a state, which can be a list of states."""
    if isinstance(state, list):
        return [map_nested(function, each) for each in state]
    return map_state(function, state)


def restarted(layer: nn.Module, state: Any, sequences: Tensor) -> Any:
    """The state with some of its sequences as they are when the layer begins.

    Args:
        layer: the layer.
        state: its state, (L*D, B, size) each part, or a list of the states of its layers.
        sequences: (B,) bool.
    """
    if isinstance(layer, LayerStack):
        pairs = zip(layer.layers, state, strict=True)
        return [restarted(each, part, sequences) for each, part in pairs]
    restart = sequences.unsqueeze(1)  # (B, 1), for a state of (L*D, B, size)
    if isinstance(layer, LearnedInitialState):
        first = layer.initial(batch=len(sequences))
        return map_state(lambda part, new: torch.where(restart, new, part), state, first)
    return map_state(lambda part: part.masked_fill(restart, 0), state)


def check_sequences(sequences: Any, state: Any) -> None:
    """Validate the argument of ``Stream.reset``.

    Raises:
        TypeError, ValueError: it is not bool, or does not have the shape (B,).
    """
    if not isinstance(sequences, Tensor) or sequences.dtype != torch.bool:
        found = sequences.dtype if isinstance(sequences, Tensor) else type(sequences).__name__
        raise TypeError(f"sequences should be a tensor of dtype torch.bool, got: {found}")
    while isinstance(state, list | tuple):
        state = state[0]
    if state is None:
        return
    if state.dim() == 2:
        raise ValueError("sequences: the input is unbatched; call reset() without an argument")
    batch = state.size(1)
    if sequences.shape != (batch,):
        raise ValueError(
            f"sequences: expected shape ({batch},), one element for each sequence, got "
            f"{tuple(sequences.shape)}"
        )


def stream(layer: nn.Module, *, detach: bool = True, state: State | None = None) -> Stream:
    """Read a sequence chunk by chunk: the outputs equal those of one call for the whole sequence.

        reader = stream(layer)
        for chunk in chunks:        # (t, B, I) each
            output = reader(chunk)  # (t, B, H)

    Args:
        layer: any layer of one direction with torch.nn's interface, scratch or builtin.
        detach: whether gradients stop at the beginning of each chunk, which is truncated
            backpropagation through time; with False they reach back to the first chunk.
        state: the initial state; zeros if None.

    Raises:
        ValueError: the layer is bidirectional: its reverse direction begins at the last time step
            of the whole sequence.

    Source: R. J. Williams & J. Peng, An Efficient Gradient-Based Algorithm for On-Line Training of
    Recurrent Network Trajectories (1990), for truncated backpropagation through time.
    """
    if getattr(layer, "bidirectional", False):
        raise ValueError(
            "layer is bidirectional: a stream needs a layer of one direction, because the reverse "
            "direction begins at the last time step of the whole sequence"
        )
    return Stream(layer, detach=detach, state=state)
