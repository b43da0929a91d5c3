"""Single keys from a terminal, without waiting for the Enter key."""

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None  # type: ignore[assignment]  # Windows has neither


class Keyboard:
    """Reads the keys that the user presses; none if the input is not a terminal."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def key(self, seconds: float) -> str:
        """Wait up to this time for a key; ``""`` if none is pressed."""
        if not self.enabled:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return ""
        pressed = os.read(sys.stdin.fileno(), 1)  # without a buffer, which select cannot see
        if not pressed:  # the terminal is closed
            self.enabled = False
        return pressed.decode(errors="replace").lower()


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Inside the block, keys are read one by one and are not shown; afterwards as before."""
    if termios is None or not sys.stdin or not sys.stdin.isatty():
        yield Keyboard(enabled=False)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)  # Ctrl-C still interrupts
    try:
        yield Keyboard(enabled=True)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
