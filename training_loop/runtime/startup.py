"""Settings of the process for fast imports and fast memory allocation."""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names in glibc's malloc.h of two parameters of mallopt."""
GIB, MIB = 2**30, 2**20


def tune_malloc() -> None:
    """Let glibc's allocator keep freed memory instead of returning it to the system.

    By default, a large block comes from the system, which clears its pages, and is returned when it
    is freed. Measured: for an LSTM with 28 steps this takes a third of torch.nn's training step,
    with 784 steps half. With this setting, blocks of up to 1 GiB come from the heap, and the heap
    does not shrink.

    Source: mallopt(3). Other allocators are unchanged.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):  # no mallopt on macOS and musl, no such library on Windows
        return
    # Older versions accept at most 32 MiB, and return 0 for more.
    if not mallopt(M_MMAP_THRESHOLD, GIB):
        mallopt(M_MMAP_THRESHOLD, 32 * MIB)
    mallopt(M_TRIM_THRESHOLD, 2 * GIB - 1)


@contextmanager
def fast_imports(program: str) -> Iterator[None]:
    """For the import of torch: faster, and Ctrl-C ends the process cleanly.

    Args:
        program: name of the command in the message.
    """
    with exit_on_ctrl_c(program), gc_paused():
        yield


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the garbage collector while torch is imported, and exclude torch from it afterwards.

    The import creates hundreds of thousands of objects that stay alive. The collector would
    traverse them again and again, which takes one of the three seconds of the import. No effect if
    torch is already imported.
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
