"""A pool of memory blocks for whole-sequence buffers, reused from call to call.

The buffers are large: the gates of an LSTM take 160 MB for 784 steps. The system allocates memory
of that size with every call and clears each page first, which took a third of a training step when
measured. So a block whose tensors have been freed stays in the pool for the next buffer of about
the same size, as in torch's caching allocator on a GPU.

Outputs and gradients are not taken from the pool: a caller may resize them, change them in place or
free their storage, as those of torch.nn. ``empty_for_caller`` allocates them.
"""

import ctypes
import mmap
import sys
from collections.abc import Callable
from functools import cache, partial
from math import prod
from typing import Any
from weakref import finalize

import torch
from torch import Tensor

MIN_BYTES = 2**20
"""Bytes. Smaller requests go to the default allocator, which is faster for them."""

MAX_BYTES = 2**30
"""Bytes. Maximum size of the pool."""

MAX_OVERSIZE = 1.25
"""Maximum ratio of the size of a block to the requested size."""


HUGE_PAGES_MIN_BYTES = 2**22
"""Bytes. Memory for the caller of at least this size is allocated in huge pages if possible."""


class BufferPool:
    """Memory blocks that no tensor uses.

    Threads share ``_free``, and the garbage collector may return a block at any moment. So every
    access to it is one atomic call, on a copy where it iterates, and there is no lock.
    """

    def __init__(self) -> None:
        self._free: dict[int, Tensor] = {}  # id -> block, the least recently used first

    @property
    def free_bytes(self) -> int:
        """Bytes in the pool."""
        return sum(block.numel() for block in self._free.copy().values())

    def empty(self, *shape: int, like: Tensor) -> Tensor:
        """A contiguous, uninitialized tensor with the dtype and device of ``like``.

        Its memory returns to the pool when no tensor refers to it any more.
        """
        size = prod(shape) * like.element_size()
        if size < MIN_BYTES or like.device.type != "cpu":
            return like.new_empty(shape)
        block = self._take(size)
        array = block.numpy()  # lives as long as any tensor uses its memory
        finalize(array, self._give_back, block).atexit = False
        return torch.from_numpy(array)[:size].view(like.dtype).view(shape)

    def allocator(self, elements: int, dtype: torch.dtype) -> Callable[[], Tensor]:
        """A function that does what ``empty`` does, for a number of elements on the CPU."""
        if elements * dtype.itemsize < MIN_BYTES:
            return allocator(elements, dtype=dtype)
        return partial(self.empty, elements, like=torch.empty(0, dtype=dtype, device="cpu"))

    def clear(self) -> None:
        """Return all free blocks to the allocator, as ``torch.cuda.empty_cache`` does."""
        self._free.clear()

    def _take(self, size: int) -> Tensor:
        for block in sorted(self._free.copy().values(), key=Tensor.numel):
            fits = size <= block.numel() <= MAX_OVERSIZE * size
            if fits and self._free.pop(id(block), None) is not None:
                return block
        return torch.empty(size, dtype=torch.uint8, device="cpu")

    def _give_back(self, block: Tensor) -> None:
        self._free[id(block)] = block
        for unused in self._free.copy().values():
            if self.free_bytes <= MAX_BYTES:
                break
            self._free.pop(id(unused), None)


BUFFER_POOL = BufferPool()
"""The pool of this process."""


def empty_for_caller(*shape: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A contiguous, uninitialized tensor whose memory is its own, like every result of torch.

    Its device and, by default, its dtype are those of ``like``.

    The system clears new memory page by page, which takes longer than to fill it. With huge pages
    that takes a third of the time.
    """
    tensor = like.new_empty(shape, dtype=dtype)
    if tensor.nbytes >= HUGE_PAGES_MIN_BYTES and tensor.device.type == "cpu":
        _advise_huge_pages(tensor.data_ptr(), tensor.nbytes)
    return tensor


def allocator(*shape: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """A function that allocates what ``empty_for_caller`` does, on the CPU.

    torch parses the arguments of its functions in every call, which takes as long as to allocate a
    small tensor. The programs of ``torch.compile`` use a function that does not.
    """
    if prod(shape) * dtype.itemsize >= HUGE_PAGES_MIN_BYTES:
        like = torch.empty(0, dtype=dtype, device="cpu")
        return partial(empty_for_caller, *shape, like=like)
    strides = tuple(prod(max(1, size) for size in shape[i + 1 :]) for i in range(len(shape)))
    if EMPTY_CPU is None:
        return partial(torch.empty_strided, shape, strides, dtype=dtype, device="cpu")
    return partial(EMPTY_CPU, shape, strides, dtype)


def _empty_cpu() -> Any:
    """That function, (shape, strides, dtype) -> tensor; None if torch has none: it is private."""
    try:
        function: Any = torch._C._dynamo.guards._empty_strided_cpu  # type: ignore[attr-defined]
        return function if function((2, 3), (3, 1), torch.float64).shape == (2, 3) else None
    except (TypeError, AttributeError):
        return None


EMPTY_CPU = _empty_cpu()


def _advise_huge_pages(address: int, size: int) -> None:
    """Ask the system for huge pages. It may ignore that, so the result is not checked."""
    madvise = _madvise()
    if madvise is not None:
        first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (address + size - first) // mmap.PAGESIZE * mmap.PAGESIZE
        madvise(first, whole, mmap.MADV_HUGEPAGE)


@cache
def _madvise() -> Any:
    """madvise of the C library, or None where it or its huge pages do not exist."""
    if sys.platform != "linux" or not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return madvise
