"""Ctrl-C and SIGTERM during a run: they are handled between two batches."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM
from types import FrameType
from typing import TypeVar

import torch
from accelerate import Accelerator

from command_line.errors import Stopped

SYNC_EVERY = 10
"""Interval, in batches, at which several processes exchange their stop flags."""

T = TypeVar("T")


class StoppedAtOnce(Stopped):
    """A second signal: raised between any two lines, so the state may be that of half a step."""


class StopFlag:
    """Records that a signal has arrived, so that all processes stop after the same batch.

    Attributes:
        signal: number of the signal; 0 if none has arrived.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.signal = 0

    def iterate(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches, until a signal arrives.

        Raises:
            Stopped: a signal has arrived.
        """
        single = self.accelerator.num_processes == 1
        for index, batch in enumerate(batches):
            if single or index % SYNC_EVERY == 0:
                self.check()
            yield batch

    def check(self) -> None:
        """Raise ``Stopped`` if a signal has arrived in any of the processes."""
        number = self.signal
        if self.accelerator.num_processes > 1:
            own = torch.tensor([number], device=self.accelerator.device)
            number = int(self.accelerator.gather(own).max())
        if number:
            raise Stopped(number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: the first signal sets the flag, the second stops at once."""
        if self.signal:
            raise StoppedAtOnce(number)
        self.signal = number


@contextmanager
def stop_on_signals(accelerator: Accelerator) -> Iterator[StopFlag]:
    """Within the ``with`` block, Ctrl-C and SIGTERM set the returned flag.

    A second signal raises ``StoppedAtOnce``. Python delivers signals only to the main
    thread; in another thread nothing changes and the flag is never set.
    """
    flag = StopFlag(accelerator)
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = {number: signal.signal(number, flag.handle) for number in (SIGINT, SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
