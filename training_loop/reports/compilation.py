"""Progress of torch.compile, which compiles inside the first call and can take minutes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LINE_EVERY = 10.0
"""Seconds between two lines while a call compiles."""

MIN_SECONDS = 2.0
"""A call that takes less has not compiled, or not for long."""


class CompilationReport:
    """Prints which call of a compiled model compiles, that it continues, and how long it took.

    The first training step and the first test compile, and later a call with a batch of one.

    Args:
        enabled: False to print nothing: the model is not compiled, or another process prints.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._seen: set[str] = set()

    @contextmanager
    def watch(self, what: str, name: str) -> Iterator[None]:
        """Watch one call, which is the content of the ``with`` block.

        Args:
            what: the kind of call: the first one of each kind is announced.
            name: the call, for the lines.
        """
        if not self.enabled:
            yield
            return
        first = what not in self._seen
        self._seen.add(what)
        if first:
            print(f"compile {name}: compiling, which can take minutes", flush=True)
        start, ended = time.monotonic(), threading.Event()
        thread = threading.Thread(target=_print_lines, args=(name, start, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        seconds = time.monotonic() - start
        if first or seconds >= MIN_SECONDS:
            print(f"compile {name}: took {seconds:.1f} s", flush=True)


def _print_lines(name: str, start: float, ended: threading.Event) -> None:
    while not ended.wait(LINE_EVERY):
        print(f"compile {name}: {time.monotonic() - start:.0f} s so far", flush=True)
