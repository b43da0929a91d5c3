"""Speed of the default path compared with torch.nn's, over many shapes, cells and dtypes.

    python -m benchmarks.sweep                                  about four minutes on two cores
    python -m benchmarks.sweep --quick                          under a minute on two idle cores
    python -m benchmarks.sweep --json sweep.json --png sweep.png

Each case is run in training and in inference. Both layers have the same weights, their results and
gradients are compared before anything is timed, and they run in turn in one process. The result is
the median of the ratios within a round.

Part of the time of torch.nn is spent on memory that the operating system clears (see
docs/explanation/performance.md). So there are two settings of the allocator: ``kept`` (glibc keeps
freed memory, for both layers) and ``default``. glibc reads its settings when a process starts, so
each setting has a process of its own.
"""

import dataclasses
import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import track

from benchmarks.heat_map import Cell, draw
from benchmarks.implementations import BUILTIN, PHASES
from benchmarks.sweep_cases import CASES, LAYERS, SCRATCH
from benchmarks.workers import KEEP_MEMORY, Worker, WorkerError
from command_line.errors import ConfigError
from command_line.program import clean_exit, parse_arguments

ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "kept": {**KEEP_MEMORY},
    "default": dict.fromkeys(KEEP_MEMORY),
}
"""Environment variables of a process by setting of the allocator."""

FULL = {"seconds": 1.2, "min_rounds": 5}
QUICK = {"seconds": 0.06, "min_rounds": 3}


@dataclass(frozen=True)
class Arguments:
    """Time the default path against torch.nn over many shapes, cells and dtypes."""

    quick: bool = False
    """Run few rounds: under a minute on two idle cores for one setting of the allocator."""
    allocator: Literal["kept", "default", "both"] = "kept"
    """Whether glibc's allocator keeps freed memory or runs with its default settings."""
    cases: tuple[str, ...] = ()
    """Run only the cases whose names contain one of these texts, such as packed or bfloat16."""
    threads: int = 2
    """Number of threads of both layers."""
    json: Path | None = None
    """JSON file for all results."""
    png: Path | None = None
    """PNG file for a heat map of the ratios."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"threads is {self.threads}: expected at least 1")
        for text in self.cases:
            if not any(text in name for name in CASES):
                raise ConfigError(
                    f"cases has {text!r}: no name of a case contains it; the names are "
                    + "; ".join(CASES)
                )
        for name, path in (("json", self.json), ("png", self.png)):
            if path and not path.parent.is_dir():  # found before minutes of measuring
                raise ConfigError(f"{name} is {path}: there is no folder {path.parent}")
            if path and path.is_dir():
                raise ConfigError(f"{name} is {path}: expected a file, not a folder")

    @property
    def allocators(self) -> list[str]:
        """The settings of the allocator that are measured."""
        return list(ENVIRONMENTS) if self.allocator == "both" else [self.allocator]


@dataclass(frozen=True)
class Row:
    """One phase of one case.

    Attributes:
        median, low, high: our time divided by torch.nn's; None if the case failed.
        milliseconds, builtin_milliseconds: our median time and torch.nn's.
        problem: why there is no result, or "".
    """

    allocator: str
    case: str
    kind: str
    phase: str
    median: float | None = None
    low: float | None = None
    high: float | None = None
    milliseconds: float | None = None
    builtin_milliseconds: float | None = None
    problem: str = ""

    def __str__(self) -> str:
        start = f"{self.allocator:7} {self.case:41} {self.kind:4} {self.phase:9}"
        if self.problem:
            return f"{start} {self.problem}"
        return (
            f"{start} {self.median:5.2f} ({self.low:.2f} to {self.high:.2f})   "
            f"{self.milliseconds:8.3f} ms, torch.nn {self.builtin_milliseconds:8.3f} ms"
        )


def measure(worker: Worker, row: Row, arguments: Arguments) -> Row:
    """The row with its measurement, or with the problem that prevented it."""
    effort = QUICK if arguments.quick else FULL
    try:
        ratios = worker.call(
            "measure", row.case, row.kind, row.phase, *effort.values(), arguments.threads
        )
    except WorkerError as error:
        return dataclasses.replace(row, problem=str(error))
    return dataclasses.replace(
        row, **ratios[SCRATCH], builtin_milliseconds=ratios[BUILTIN]["milliseconds"]
    )


@dataclass(frozen=True)
class Counts:
    """The summary of a group of rows.

    Attributes:
        setting: the setting of the allocator.
        group: "layers", or "cells and the encoder".
        number: how many rows.
        not_slower, within_tenth: how many have a ratio of at most 1.00 and 1.10.
        mean: the geometric mean of the ratios.
        worst: the five largest ratios, with their rows.
        failed: how many rows have no result.
    """

    setting: str
    group: str
    number: int
    not_slower: int
    within_tenth: int
    mean: float
    worst: tuple[str, ...]
    failed: int

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return (
            f"{self.setting}, {self.group}: {self.not_slower} of {self.number} at most 1.00, "
            f"{self.within_tenth} at most 1.10, geometric mean {self.mean:.2f}{failed}; worst: "
            + "; ".join(self.worst)
        )


def summary(rows: Sequence[Row]) -> list[Counts]:
    """The counts of each setting of the allocator and each group of cases."""
    found = []
    for setting in dict.fromkeys(row.allocator for row in rows):
        of_setting = [row for row in rows if row.allocator == setting]
        for group in ("layers", "cells and the encoder"):
            chosen = [row for row in of_setting if (row.case in LAYERS) == (group == "layers")]
            if chosen:
                found.append(_count(setting, group, chosen))
    return found


def _count(setting: str, group: str, rows: Sequence[Row]) -> Counts:
    ratios = {row: row.median for row in rows if row.median is not None}
    worst = sorted(ratios, key=ratios.__getitem__, reverse=True)[:5]
    return Counts(
        setting,
        group,
        len(rows),
        not_slower=sum(ratio <= 1 for ratio in ratios.values()),
        within_tenth=sum(ratio <= 1.1 for ratio in ratios.values()),
        mean=statistics.geometric_mean(ratios.values()) if ratios else math.nan,
        worst=tuple(f"{row.median:.2f} {row.kind} {row.phase}, {row.case}" for row in worst),
        failed=len(rows) - len(ratios),
    )


def draw_rows(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw a heat map with a panel for each setting of the allocator."""
    cells = [
        Cell(f"allocator: {row.allocator}", row.case, f"{row.kind} {row.phase}", row.median)
        for row in rows
    ]
    draw(cells, path, title, label="time / torch.nn")


def about(arguments: Arguments) -> dict[str, Any]:
    """What the results depend on."""
    return {
        "torch": torch.__version__,
        "threads": arguments.threads,
        "cores": os.cpu_count(),
        "processor": processor(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
    }


def processor() -> str:
    """The name of the processor, or the architecture where the system does not give a name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def main(arguments: Arguments) -> None:
    """Measure every case, print each row and the summary, and write the files.

    Raises:
        ConfigError: some cases failed. The files are written nevertheless.
    """
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    described = about(arguments)
    title = ", ".join(f"{name} {value}" for name, value in described.items())
    console.print(title)
    jobs = [
        Row(allocator, name, kind, phase)
        for name, case in CASES.items()
        if not arguments.cases or any(text in name for text in arguments.cases)
        for kind in case.kinds
        for phase in PHASES
        for allocator in arguments.allocators
    ]
    rows = []
    with ExitStack() as stack:
        workers = {
            each: stack.enter_context(Worker("benchmarks.sweep_cases", ENVIRONMENTS[each]))
            for each in arguments.allocators
        }
        for row in track(
            jobs, "measuring", console=console, transient=True, disable=not console.is_terminal
        ):
            rows.append(measure(workers[row.allocator], row, arguments))
            console.print(f"{len(rows):3} of {len(jobs)}  {rows[-1]}", soft_wrap=True)
    for counts in summary(rows):
        console.print(str(counts), soft_wrap=True)
    if arguments.json:
        written = {"about": described, "rows": [dataclasses.asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(written, indent=1) + "\n")
    if arguments.png:
        draw_rows(rows, arguments.png, title)
    if failed := [row for row in rows if row.problem]:
        raise ConfigError(f"{len(failed)} cases failed; the first is {failed[0]}")


if __name__ == "__main__":
    program = "python -m benchmarks.sweep"
    with clean_exit(program):
        main(parse_arguments(Arguments, program))
