"""How far a pass is, and what it has come to: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training_loop.trainer import Look

LINE_EVERY = 30.0  # seconds between two lines where there is no terminal


@contextmanager
def progress_bar(
    title: str, steps: int, done: int = 0, quiet: bool = False
) -> Iterator[Callable[[Look], None]]:
    """Show how many of a pass's steps have been taken, the loss, and images per second.

    Used as ``with progress_bar("epoch 1", 600) as show``, and ``show(look)`` once in a while. On
    leaving, also by an exception, the bar is gone and the terminal as it was.

    Args:
        title: what is under way.
        steps: of the whole pass.
        done: of them taken before.
        quiet: show nothing, as the other processes of a run do.
    """
    console = Console(quiet=quiet)
    if not console.is_terminal or quiet:
        yield _lines(title, steps, quiet)
        return
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=steps, completed=done, at="")
        yield lambda look: bar.update(task, completed=look.step_in_epoch, at=_figures(look))


def _lines(title: str, steps: int, quiet: bool) -> Callable[[Look], None]:
    last = time.monotonic()

    def show(look: Look) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            print(f"{title}: step {look.step_in_epoch} of {steps}, {_figures(look)}", flush=True)

    return show


def _figures(look: Look) -> str:
    return f"loss {look.loss:.4f}, {look.images_per_second:.0f} images/s"
