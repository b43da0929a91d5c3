"""The three ways to hand over sequences, made one.

Batched, unbatched or packed: whatever came in, the layers see time-major data and a state with a
batch axis; whatever goes out is laid out as it came in.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.validation import check_input_dim


@dataclass(frozen=True)
class Sequence(ABC):
    """Sequences along the time axis.

    ``data`` is (T, B, I); or for packed sequences (ΣT, I), step after step, each with the rows of
    the sequences that are that long, longest first: ``batch_sizes`` counts them.
    """

    data: Tensor
    batch: int
    batch_sizes: tuple[int, ...] | None = None

    @abstractmethod
    def restore(self, data: Tensor) -> Tensor | PackedSequence:
        """Time-major ``data`` of any feature size, laid out as the input was."""

    def take_state(self, part: Tensor) -> Tensor:
        """The caller's state -> (layers * directions, B, size), rows as in ``data``."""
        return part

    def give_state(self, part: Tensor) -> Tensor:
        """(layers * directions, B, size) -> the caller's state."""
        return part


@dataclass(frozen=True)
class Batched(Sequence):
    """(T, B, I), or (B, T, I) if ``batch_first``."""

    batch_first: bool = False

    def restore(self, data: Tensor) -> Tensor:
        return data.transpose(0, 1) if self.batch_first else data


@dataclass(frozen=True)
class Unbatched(Sequence):
    """(T, I), whatever ``batch_first`` says."""

    def restore(self, data: Tensor) -> Tensor:
        return data.squeeze(1)

    def take_state(self, part: Tensor) -> Tensor:
        return part.unsqueeze(1)

    def give_state(self, part: Tensor) -> Tensor:
        return part.squeeze(1)


@dataclass(frozen=True)
class Packed(Sequence):
    """A PackedSequence; its state comes and goes in the order in which it was packed."""

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
    """The input of the layer ``name``, whichever of the three it is."""
    if isinstance(input, PackedSequence):
        batch_sizes = tuple(input.batch_sizes.tolist())
        return Packed(input.data, batch_sizes[0], batch_sizes, packed=input)
    check_input_dim(name, input)
    if input.dim() == 2:
        return Unbatched(input.unsqueeze(1), batch=1)
    data = input.transpose(0, 1) if batch_first else input
    return Batched(data, batch=data.size(1), batch_first=batch_first)
