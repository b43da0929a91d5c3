"""Memory that one training step frees and the next asks for again."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""What glibc's malloc.h calls two of mallopt's parameters."""
GIB, MIB = 2**30, 2**20


def keep_freed_memory() -> None:
    """Have this process keep what it frees, for itself, where its allocator is glibc's.

    By default large blocks come from the system and go back to it, and it clears every page that
    it gives out: with 28 steps of an LSTM that was seen to take a third of torch.nn's training
    step, with 784 steps half. Here blocks of up to 1 GiB come from the heap, whose end stays.

    Source: mallopt(3). Elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):  # macOS and musl have no mallopt, Windows no such library
        return
    # Older versions take no more than 32 MiB, and answer 0.
    if not mallopt(M_MMAP_THRESHOLD, GIB):
        mallopt(M_MMAP_THRESHOLD, 32 * MIB)
    mallopt(M_TRIM_THRESHOLD, 2 * GIB - 1)
