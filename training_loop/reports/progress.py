"""Progress of a training pass: a bar on a terminal, periodic lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training_loop.trainer import StepMetrics

LINE_EVERY = 30.0
"""Seconds between two lines if the output is not a terminal."""


@contextmanager
def progress_bar(
    title: str, steps: int, done: int = 0, quiet: bool = False
) -> Iterator[Callable[[StepMetrics], None]]:
    """Show the steps taken, the loss, and sequences per second.

    Use it as ``with progress_bar("epoch 1", 600) as show`` and call ``show(metrics)`` after some of
    the steps. At the end of the block, also after an exception, the bar is removed and the terminal
    restored.

    Args:
        title: text before the bar.
        steps: number of steps in the whole pass.
        done: number of steps taken before.
        quiet: show nothing, for processes other than the main one.
    """
    console = Console(quiet=quiet)
    if not console.is_terminal or quiet:
        yield _lines(title, steps, quiet)
        return
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[values]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=steps, completed=done, values="")
        yield lambda metrics: bar.update(
            task, completed=metrics.step_in_epoch, values=_values(metrics)
        )


def _lines(title: str, steps: int, quiet: bool) -> Callable[[StepMetrics], None]:
    last = time.monotonic()

    def show(metrics: StepMetrics) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            step = f"step {metrics.step_in_epoch} of {steps}"
            print(f"{title}: {step}, {_values(metrics)}", flush=True)

    return show


def _values(metrics: StepMetrics) -> str:
    return f"loss {metrics.loss:.4f}, {metrics.sequences_per_second:.0f} sequences/s"
