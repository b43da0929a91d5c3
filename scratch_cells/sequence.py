"""Convert batched, unbatched and packed input to one time-major form, and outputs back.

Inside a layer the data is time-major and the state has a batch dimension. The outputs and the final
state have the layout of the input.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.recording import check_not_symbolic, check_packed_is_not_recorded
from scratch_cells.validation import check_batch_sizes, check_input_dim


@dataclass
class Sequence(ABC):
    """The input of a layer in time-major form.

    Attributes:
        data: (T, B, I); for packed sequences (ΣT, I): for every time step the rows of the
            sequences that have this step, longest sequence first.
        batch: number of sequences, B.
        batch_sizes: for packed sequences, the number of rows of ``data`` at each time step.
    """

    data: Tensor
    batch: int
    batch_sizes: tuple[int, ...] | None = None

    @abstractmethod
    def restore(self, data: Tensor) -> Tensor | PackedSequence:
        """Convert time-major ``data``, with any number of features, to the input's layout."""

    def take_mask(self, mask: Tensor) -> Tensor:
        """Convert a mask over time steps and sequences to (T, B). Not for packed sequences."""
        raise NotImplementedError

    def take_state(self, part: Tensor) -> Tensor:
        """Convert a part of the user's state to (layers * directions, B, size).

        Its rows are in the order of the rows of ``data``.
        """
        return part

    def give_state(self, part: Tensor) -> Tensor:
        """Convert (layers * directions, B, size) to the layout of the user's state."""
        return part


@dataclass
class Batched(Sequence):
    """Input (T, B, I), or (B, T, I) if ``batch_first``."""

    batch_first: bool = False

    def take_mask(self, mask: Tensor) -> Tensor:
        return mask.transpose(0, 1) if self.batch_first else mask

    def restore(self, data: Tensor) -> Tensor:
        return data.transpose(0, 1) if self.batch_first else data


@dataclass
class Unbatched(Sequence):
    """Input (T, I); ``batch_first`` has no effect."""

    def take_mask(self, mask: Tensor) -> Tensor:
        return mask.unsqueeze(1)

    def restore(self, data: Tensor) -> Tensor:
        return data.squeeze(1)

    def take_state(self, part: Tensor) -> Tensor:
        return part.unsqueeze(1)

    def give_state(self, part: Tensor) -> Tensor:
        return part.squeeze(1)


@dataclass
class Packed(Sequence):
    """A PackedSequence. The user's state has the order of the sequences before they were sorted."""

    packed: PackedSequence | None = None

    def restore(self, data: Tensor) -> PackedSequence:
        assert self.packed is not None
        return PackedSequence(data, *self.packed[1:])

    def take_state(self, part: Tensor) -> Tensor:
        assert self.packed is not None
        return _reorder(part, self.packed.sorted_indices)

    def give_state(self, part: Tensor) -> Tensor:
        assert self.packed is not None
        return _reorder(part, self.packed.unsorted_indices)


def _reorder(part: Tensor, indices: Tensor | None) -> Tensor:
    return part if indices is None else part.index_select(1, indices)


def time_major(name: str, input: Tensor | PackedSequence, batch_first: bool) -> Sequence:
    """Convert the input of a layer to time-major form.

    Args:
        name: class name of the layer, for the error message.
        input: batched (3-D), unbatched (2-D) or packed.
        batch_first: whether batched input is (B, T, I).

    Raises:
        ValueError: the input is neither 2-D nor 3-D.
        TypeError: the input is a symbol of ``torch.fx.symbolic_trace``.
        IndexError, RuntimeError: the batch sizes of a PackedSequence are wrong.
        RuntimeError: the input is packed, and ``torch.export`` or ``torch.jit.trace`` records.
    """
    if type(input) is Tensor and input.dim() == 3:  # the usual case, first
        data = input.transpose(0, 1) if batch_first else input
        return Batched(data, data.shape[1], None, batch_first)
    if isinstance(input, PackedSequence):
        check_packed_is_not_recorded(name)
        batch_sizes = check_batch_sizes(input.batch_sizes, len(input.data))
        data = input.data[: sum(batch_sizes)]
        return Packed(data, batch_sizes[0], batch_sizes, packed=input)
    check_not_symbolic(name, input)
    check_input_dim(name, input)
    if input.dim() == 2:
        return Unbatched(input.unsqueeze(1), 1)
    data = input.transpose(0, 1) if batch_first else input
    return Batched(data, data.shape[1], None, batch_first)
