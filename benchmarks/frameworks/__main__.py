"""Recurrent layers of this project and of other frameworks, timed in turn.

    python -m pip install -e ".[frameworks]"    what is not installed is skipped
    python -m benchmarks.frameworks             about ten minutes on two cores
    python -m benchmarks.frameworks --quick     under two minutes on two idle cores

Each framework has a process of its own, because their threads and allocators would interfere in
one process. In a round, the processes run one after the other; the order is rotated. The layers
have the same weights, input and initial state, and the results and gradients of each are compared
with a float64 result before anything is timed.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.frameworks.contenders import FRAMEWORKS
from benchmarks.frameworks.measure import (
    ALL_TASKS,
    Problem,
    Row,
    check_all,
    environment,
    time_rows,
)
from benchmarks.frameworks.report import draw_rows, markdown
from benchmarks.implementations import PHASES
from benchmarks.sweep import processor
from benchmarks.workers import Worker, WorkerError
from command_line.errors import ConfigError
from command_line.program import clean_exit, parse_arguments

KINDS = ("LSTM", "GRU")

ROUNDS = {"rows": 12, "pixels": 5, "wide": 8, "streaming": 12, "one step": 12}
QUICK_ROUNDS = {"rows": 3, "streaming": 3, "one step": 3}
MIN_ROUNDS = 3
ROUND_SECONDS, QUICK_ROUND_SECONDS = 0.2, 0.03


@dataclass(frozen=True)
class Arguments:
    """Time LSTM and GRU layers of this project and of other frameworks in turn."""

    quick: bool = False
    """Run few rounds of the tasks rows, streaming and one step: under two minutes on two idle
    cores."""
    tasks: tuple[str, ...] = ()
    """Tasks to run: rows, pixels, wide, streaming, "one step"; by default all."""
    frameworks: tuple[str, ...] = tuple(FRAMEWORKS)
    """Frameworks to run; those that are not installed are skipped."""
    threads: int = 2
    """Number of threads of each framework."""
    json: Path | None = None
    """JSON file for all results."""
    png: Path | None = None
    """PNG file for a heat map of the ratios."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"threads is {self.threads}: expected at least 1")
        for option, given, known in (
            ("tasks", self.tasks, ALL_TASKS),
            ("frameworks", self.frameworks, FRAMEWORKS),
        ):
            for name in given:
                if name not in known:
                    names = ", ".join(f'"{each}"' for each in known)
                    raise ConfigError(f"{option} has {name!r}: expected some of {names}")
        for name, path in (("json", self.json), ("png", self.png)):
            if path and not path.parent.is_dir():  # found before minutes of measuring
                raise ConfigError(f"{name} is {path}: there is no folder {path.parent}")
            if path and path.is_dir():
                raise ConfigError(f"{name} is {path}: expected a file, not a folder")

    @property
    def rounds(self) -> dict[str, int]:
        """The number of rounds of each task that is run."""
        rounds = QUICK_ROUNDS if self.quick else ROUNDS
        return {name: rounds.get(name, MIN_ROUNDS) for name in self.tasks or rounds}


def main(arguments: Arguments) -> None:
    """Measure everything, print each row and the table, and write the files.

    Raises:
        ConfigError: some frameworks failed. The files are written nevertheless.
    """
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    about = {"threads": arguments.threads, "cores": os.cpu_count(), "processor": processor()}
    title = ", ".join(f"{name} {value}" for name, value in about.items())
    console.print(title)
    rows: list[Row] = []
    with ExitStack() as stack:
        workers, versions = start(arguments, stack, console)
        for row in measure(arguments, workers, console):
            rows.append(row)
            console.print(str(row), soft_wrap=True)
    console.print(markdown(rows), soft_wrap=True)
    if arguments.json:
        written = {"about": about | versions, "rows": [dataclasses.asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(written, indent=1) + "\n")
    if arguments.png:
        draw_rows(rows, arguments.png, title)
    if failed := [row for row in rows if row.problem]:
        raise ConfigError(f"{len(failed)} of {len(rows)} failed; the first is {failed[0]}")


def start(
    arguments: Arguments, stack: ExitStack, console: Console
) -> tuple[dict[str, Worker], dict[str, str]]:
    """A process for each framework that is installed, which has imported it; and its version.

    A framework that is not installed, or cannot be imported, is skipped with one line.
    """
    workers, versions = {}, {}
    for name in arguments.frameworks:
        framework = FRAMEWORKS[name]
        if framework.missing:
            console.print(
                f"{name} is skipped: install it with {sys.executable} -m pip install "
                f"{framework.packages}",
                soft_wrap=True,
            )
            continue
        worker = stack.enter_context(
            Worker("benchmarks.frameworks.job", environment(arguments.threads))
        )
        try:
            versions[name] = worker.call("version", framework.module)
        except WorkerError as error:
            console.print(f"{name} is skipped: {error}", soft_wrap=True)
            continue
        workers[name] = worker
        console.print(f"{name}: {versions[name]}")
    return workers, versions


def measure(arguments: Arguments, workers: dict[str, Worker], console: Console) -> Iterator[Row]:
    """Yield each row when it is measured; show the progress."""
    seconds = QUICK_ROUND_SECONDS if arguments.quick else ROUND_SECONDS
    jobs = [(task, kind) for task in arguments.rounds for kind in KINDS]
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(jobs))
        for task, kind in jobs:
            progress.update(bar, description=f"{task} {kind}: compiling and comparing")
            if not console.is_terminal:
                console.print(f"{task} {kind}")
            checked = check_all(Problem.draw(ALL_TASKS[task], kind), workers, arguments.threads)
            for phase in PHASES:
                progress.update(bar, description=f"{task} {kind}: {phase}")
                rows = [row for row in checked if row.phase == phase]
                yield from time_rows(rows, workers, arguments.rounds[task], seconds)
            progress.advance(bar)


if __name__ == "__main__":
    program = "python -m benchmarks.frameworks"
    with clean_exit(program):
        main(parse_arguments(Arguments, program))
