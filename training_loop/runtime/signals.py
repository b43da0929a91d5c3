"""Ctrl-C and SIGTERM, heeded between two steps."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM
from types import FrameType
from typing import TypeVar

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]

from command_line.errors import Stopped

AGREE_EVERY = 10
"""Batches between two times that processes ask one another whether to stop."""


T = TypeVar("T")


class Stop:
    """Whether a signal has asked to stop, seen between batches, by all processes at the same."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.number = 0

    def between(self, batches: Iterable[T]) -> Iterator[T]:
        """Hand on the batches; once a signal has come, raise :class:`Stopped` instead."""
        alone = self.accelerator.num_processes == 1
        for count, batch in enumerate(batches):
            if alone or count % AGREE_EVERY == 0:
                self.check()
            yield batch

    def check(self) -> None:
        """Raise :class:`Stopped` if a signal has come, to whichever of the processes."""
        number = self.number
        if self.accelerator.num_processes > 1:
            ours = torch.tensor([number], device=self.accelerator.device)
            number = int(self.accelerator.gather(ours).max())
        if number:
            raise Stopped(number)

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.number:  # asked for the second time: now
            raise Stopped(number)
        self.number = number


@contextmanager
def heeding_signals(accelerator: Accelerator) -> Iterator[Stop]:
    """While a run can be saved: note Ctrl-C and SIGTERM, to be heeded between two batches.

    A second signal is heeded at once. Python delivers signals to the main thread; in another one
    this changes nothing.
    """
    stop = Stop(accelerator)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.note) for number in (SIGINT, SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
