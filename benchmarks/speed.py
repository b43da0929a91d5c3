"""Speed and memory of the hand-written layers, compared with torch.nn and other implementations.

    python -m benchmarks.speed            everything, about six minutes on two cores
    python -m benchmarks.speed --quick    fewer rounds: about a minute on two idle cores

All implementations of a task have the same weights, are checked to be equal before anything is
timed, and run interleaved in one process. The table shows the median of the ratios to the time of
torch.nn's layer in the same round, with quartiles.
"""

import dataclasses
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.implementations import (
    BUILTIN,
    KINDS,
    PHASES,
    TASKS,
    Task,
    check_equal,
    draw_input,
    implementations,
)
from benchmarks.timing import interleave, peak_memory
from command_line.errors import ConfigError
from command_line.program import clean_exit, parse_arguments

mpl.use("Agg")
import matplotlib.pyplot as plt

ROUNDS = {"rows": 40, "pixels": 10, "wide": 20}
QUICK_ROUNDS = {"rows": 5, "pixels": 2, "wide": 3}


@dataclass(frozen=True)
class Arguments:
    """Time the hand-written layers against torch.nn's, interleaved in one process."""

    quick: bool = False
    """Run few rounds, and do not measure memory on a CPU: about a minute on two idle cores, several
    minutes on a busy machine."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device that the layers run on."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of weights, inputs and states."""
    tf32: bool = False
    """Allow TF32 for all float32 products on a GPU, in cuDNN and elsewhere."""
    hidden_sizes: tuple[int, ...] = ()
    """Run every task with each of these hidden sizes instead of its own."""
    compiled: bool = False
    """Also time the reference loop with torch.compile, for short sequences; compiling takes
    minutes."""
    json: Path | None = None
    """JSON file for all results."""
    png: Path | None = None
    """PNG file for a bar chart."""

    def __post_init__(self) -> None:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device is cuda: torch sees no CUDA device")
        for name, path in (("json", self.json), ("png", self.png)):
            if path and not path.parent.is_dir():  # found before minutes of measuring
                raise ConfigError(f"{name} is {path}: there is no folder {path.parent}")
            if path and path.is_dir():
                raise ConfigError(f"{name} is {path}: expected a file, not a folder")


@dataclass(frozen=True)
class Row:
    """One implementation on one task: time and peak memory as ratios to torch.nn's."""

    task: str
    kind: str
    phase: str
    implementation: str
    median: float
    low: float
    high: float
    milliseconds: float
    memory: float | None


def measure(task: Task, kind: str, rounds: int, arguments: Arguments) -> list[Row]:
    """Time training and inference of one task, after checking that all results are equal."""
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    models = implementations(kind, task, device, dtype, arguments.compiled)
    x = draw_input(task, device, dtype)
    check_equal(models, x, "tf32" if arguments.tf32 else arguments.dtype)
    memory = {
        name: peak_memory(lambda model=model: PHASES["train"](model, x), device)
        if device.type == "cuda"
        else _memory_in_its_own_process(task, kind, name, arguments)
        for name, model in models.items()
    }
    rows = []
    for phase, run in PHASES.items():
        calls = {name: lambda model=model, run=run: run(model, x) for name, model in models.items()}
        for name, ratio in interleave(calls, BUILTIN, rounds, device).items():
            reference = memory[BUILTIN]
            share = memory[name] / reference if reference and phase == "train" else None
            rows.append(
                Row(task.name, kind, phase, name, **dataclasses.asdict(ratio), memory=share)
            )
    return rows


def _memory_in_its_own_process(
    task: Task, kind: str, implementation: str, arguments: Arguments
) -> int | None:
    if arguments.quick:
        return None  # the processes would take 2/3 of the time
    context = multiprocessing.get_context("forkserver")  # its processes start with torch imported
    context.set_forkserver_preload(["benchmarks.implementations"])
    with context.Pool(1) as pool:
        return pool.apply(_memory_of_a_step, (task, kind, implementation, arguments))


def _memory_of_a_step(
    task: Task, kind: str, implementation: str, arguments: Arguments
) -> int | None:
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    model = implementations(kind, task, device, dtype, arguments.compiled)[implementation]
    x = draw_input(task, device, dtype)
    PHASES["train"](model, x[:2])  # libraries allocate their own memory here, uncounted
    return peak_memory(lambda: PHASES["train"](model, x), device)


def table_of(rows: list[Row]) -> Table:
    """A table with a line for each implementation on each task."""
    table = Table(
        "task", "cell", "phase", "implementation", "time / torch.nn", "peak memory / torch.nn"
    )
    for row in rows:
        if row.implementation != BUILTIN:
            memory = "" if row.memory is None else f"{row.memory:.2f}"
            spread = f"{row.median:.2f} ({row.low:.2f} to {row.high:.2f})"
            table.add_row(row.task, row.kind, row.phase, row.implementation, spread, memory)
    return table


def draw(rows: list[Row], path: Path, title: str) -> None:
    """A chart with a bar for each implementation; a panel for each task and phase."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    names = list(dict.fromkeys(row.implementation for row in rows if row.implementation != BUILTIN))
    figure, axes = plt.subplots(
        2, len(tasks), figsize=(4.5 * len(tasks), 6.5), sharex=True, squeeze=False
    )
    for column, task in enumerate(tasks):
        for axis, phase in zip(axes[:, column], PHASES, strict=True):
            for index, name in enumerate(names):
                chosen = {
                    row.kind: row
                    for row in rows
                    if (row.task, row.phase, row.implementation) == (task, phase, name)
                }
                places = [k + (index - len(names) / 2 + 0.5) * 0.8 / len(names) for k in range(3)]
                if not chosen:
                    continue
                medians = [chosen[kind].median for kind in KINDS]
                spread = [
                    [chosen[kind].median - chosen[kind].low for kind in KINDS],
                    [chosen[kind].high - chosen[kind].median for kind in KINDS],
                ]
                axis.bar(places, medians, 0.75 / len(names), yerr=spread, label=name)
            axis.axhline(1, color="black", linewidth=1)
            axis.set_xticks(range(3), KINDS)
            axis.set_title(f"{task}, {phase}")
            axis.set_ylabel("time / torch.nn")
    figure.suptitle(title)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncols=len(names))
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=120)


Job = tuple[Task, str, int]


def with_progress(jobs: Sequence[Job], console: Console) -> Iterator[Job]:
    """Yield the jobs; show a bar on a terminal, and print a line before each job elsewhere."""
    if console.is_terminal:
        yield from track(jobs, "measuring", console=console, transient=True)
        return
    start = time.monotonic()
    for index, job in enumerate(jobs, start=1):
        task, kind, _ = job
        seconds = time.monotonic() - start
        print(f"{index} of {len(jobs)}: {task.name} {kind}, after {seconds:.0f} s", flush=True)
        yield job


def main(arguments: Arguments) -> None:
    """Measure everything, print the table, and write the files."""
    device = torch.device(arguments.device)
    console = Console(width=None if sys.stdout.isatty() else 120)
    about: dict[str, Any] = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": "tf32" if arguments.tf32 else arguments.dtype,
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if device.type == "cuda":
        about["cudnn"] = torch.backends.cudnn.version()
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
    title = ", ".join(f"{name} {value}" for name, value in about.items())
    console.print(title)
    rounds = QUICK_ROUNDS if arguments.quick else ROUNDS
    rows = []
    sizes = arguments.hidden_sizes
    jobs = [
        (each, kind, rounds[task.name])
        for task in TASKS.values()
        for each in ([task.of_size(size) for size in sizes] or [task])
        for kind in KINDS
    ]
    for task, kind, number in with_progress(jobs, console):
        rows += measure(task, kind, number, arguments)
    console.print(table_of(rows))
    if arguments.json:
        written = {"about": about, "rows": [dataclasses.asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(written, indent=1) + "\n")
    if arguments.png:
        draw(rows, arguments.png, title)


if __name__ == "__main__":
    program = "python -m benchmarks.speed"
    with clean_exit(program):
        main(parse_arguments(Arguments, program))
