"""Memory for a sequence's buffers, kept for the next sequence.

The buffers are large: the gates of 784 steps of an LSTM take 160 MB. Memory of that size comes from
the system and goes back to it with the buffer, and the system clears every page before it gives it
out again, which was seen to take a third of a training step. So a block whose tensors are gone is
kept for the next buffer of about its size, as torch does on a GPU.
"""

from math import prod
from weakref import finalize

import torch
from torch import Tensor

SMALLEST = 2**20
"""Bytes. Smaller blocks the allocator itself keeps, and hands out faster."""
MOST = 2**30
"""Bytes that are kept at most."""
SLACK = 1.25
"""How many times as large as what is asked for a block may be."""


class Reserve:
    """Blocks of memory that no tensor uses.

    Every access to ``_free`` is one indivisible call, for threads share it, and the garbage
    collector may put a block back at any moment: hence copies, and no lock.
    """

    def __init__(self) -> None:
        self._free: dict[int, Tensor] = {}  # blocks by id, the longest unused first

    @property
    def kept(self) -> int:
        """Bytes in the reserve."""
        return sum(block.numel() for block in self._free.copy().values())

    def empty(self, *shape: int, like: Tensor) -> Tensor:
        """A contiguous tensor of this shape, not filled, of the dtype and device of ``like``.

        It may be used as any other; its memory comes back when nothing refers to it any more.
        """
        size = prod(shape) * like.element_size()
        if like.device.type != "cpu" or size < SMALLEST:
            return like.new_empty(shape)
        block = self._take(size)
        loan = block.numpy()  # lives as long as some tensor uses its memory
        finalize(loan, self._put_back, block).atexit = False
        return torch.from_numpy(loan)[:size].view(like.dtype).view(shape)

    def clear(self) -> None:
        """Give all that is kept back to the allocator, as ``torch.cuda.empty_cache`` does."""
        self._free.clear()

    def _take(self, size: int) -> Tensor:
        for block in sorted(self._free.copy().values(), key=Tensor.numel):
            fits = size <= block.numel() <= SLACK * size
            if fits and self._free.pop(id(block), None) is not None:
                return block
        return torch.empty(size, dtype=torch.uint8, device="cpu")

    def _put_back(self, block: Tensor) -> None:
        self._free[id(block)] = block
        for unused in self._free.copy().values():
            if self.kept <= MOST:
                break
            self._free.pop(id(unused), None)


RESERVE = Reserve()
"""The one that the layers share."""
