"""Read a sequence chunk by chunk, keeping the state between the calls."""

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.cell import map_state
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
            state = map_state(Tensor.detach, state)
        output, self.state = self.layer(chunk, state)
        result: Tensor = output
        return result

    def reset(self, sequences: Tensor | None = None) -> None:
        """Restart from a state of zeros.

        Args:
            sequences: which sequences of the batch, (B,) bool; all of them if None.
        """
        if sequences is None or self.state is None:
            self.state = None
        else:
            restart = sequences.unsqueeze(1)  # (B, 1), for a state of (L*D, B, size)
            self.state = map_state(lambda part: part.masked_fill(restart, 0), self.state)


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
