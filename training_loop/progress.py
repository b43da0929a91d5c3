"""How far a pass is: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 30.0  # seconds between two lines where there is no terminal

T = TypeVar("T")


@contextmanager
def progress(title: str, steps: int) -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """Show how many of a pass's batches have been taken.

    Used as ``with progress("epoch 1", len(batches)) as counted: for batch in counted(batches)``.
    On leaving, also by an exception, the bar is gone and the terminal as it was.

    Args:
        title: what is under way.
        steps: how many batches there will be.
    """
    console = Console()
    if not console.is_terminal:
        yield lambda batches: _with_lines(batches, title, steps)
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield lambda batches: iter(bar.track(batches, total=steps))


def _with_lines(batches: Iterable[T], title: str, steps: int) -> Iterator[T]:
    last = time.monotonic()
    for step, batch in enumerate(batches):
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            print(f"{title}: {step} of {steps} batches", flush=True)
        yield batch
