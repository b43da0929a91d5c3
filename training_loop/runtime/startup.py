"""What Python and the allocator do with memory, where their habits cost a training run time."""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def imports_uncollected() -> Iterator[None]:
    """Look for no garbage while torch is imported, nor ever again among what that leaves.

    It is hundreds of thousands of objects, all to stay, through which Python would search again and
    again: a second of the three that the imports take. No effect where torch is there already.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def exit_on_ctrl_c(program: str) -> Iterator[None]:
    """While modules are imported, Ctrl-C ends the process at once, with exit status 130.

    As an exception, it would be raised inside the module being imported; large packages catch it
    or replace it by another exception. No cleanup is needed at this point: nothing has been
    written yet. This module does not import torch, so that the import of torch is covered too.
    Main thread only.
    """

    def leave(*_: object) -> None:
        print(f"{program}: interrupted", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
