"""Which cells learn tasks that need memory? ``python -m benchmarks.memory_tasks``

Trains the three cells on the adding problem and the copying task (train.py --task), each with
several seeds, and prints how many runs are a success. A row is made again by naming its task and
length. Each run is a process of its own with one thread; the command can be interrupted and
repeated (see training_runs.py).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from matplotlib.figure import Figure

from benchmarks.accuracy_plot import COLOURS
from benchmarks.pages import write_table
from benchmarks.training_runs import ROOT, Finished, Job, is_finished, make_runs
from command_line.errors import ConfigError
from command_line.program import clean_exit, parse_arguments
from training_loop.tasks.memory import AddingTask, CopyTask
from training_loop.tasks.objective import Result

PAGE = ROOT / "docs/results/accuracy.md"
FIGURE = ROOT / "docs/figures/memory_tasks.png"
TASKS = {"adding": AddingTask, "copy": CopyTask}
NAMES = {"adding": "adding", "copy": "copying"}
LENGTHS = {"adding": (100, 400), "copy": (50, 100)}
SIZES: dict[str, dict[str, object]] = {
    "adding": {"hidden-size": 64, "epochs": 30, "batch-size": 50},
    "copy": {"hidden-size": 128, "epochs": 80, "batch-size": 20},
}
"""Options of train.py with which a run takes one to four minutes on a quiet core. For the LSTM with
seed 0: adding, T = 100, ends with a loss of 0.0009; copying, T = 50, with half of these epochs,
recalls 82 % of the symbols."""


@dataclass(frozen=True)
class Options:
    """Train the cells on tasks that need memory, and print how many runs succeed."""

    tasks: tuple[Literal["adding", "copy"], ...] = ("adding", "copy")
    """tasks to train on (train.py --task)"""
    lengths: tuple[int, ...] = ()
    """lengths (train.py --length); none: 100 and 400 for adding, 50 and 100 for copy"""
    cells: tuple[Literal["rnn", "gru", "lstm"], ...] = ("rnn", "gru", "lstm")
    """cell types to train"""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """random seeds; every combination is trained once per seed"""
    workers: int = os.cpu_count() or 1
    """number of runs in parallel"""
    run_dir: Path = Path("runs/memory_tasks")
    """directory for the run directories"""
    finished: bool = False
    """use the finished runs only, and start none"""
    write: bool = False
    """write the table (docs/results/accuracy.md)"""
    draw: bool = False
    """draw the loss after each epoch (docs/figures/memory_tasks.png)"""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}: expected at least 1")


@dataclass(frozen=True)
class Setting:
    """A task and a length: one row of the table."""

    task: str
    length: int

    def job(self, cell: str, seed: int, options: Options) -> Job:
        """The run of one cell with one seed."""
        settings: dict[str, object] = {
            "task": self.task,
            "length": self.length,
            "cell": cell,
            "num-layers": 1,
            "seed": seed,
            "checkpoint-every": 100,
        }
        name = f"{self.task}-{self.length}-{cell}-{seed}"
        return Job(options.run_dir / name, settings | SIZES[self.task])


Results = dict[Setting, dict[str, list[Finished]]]
"""The finished runs of each setting by cell."""


def settings_of(options: Options) -> Iterator[Setting]:
    """The rows of the table."""
    for task in options.tasks:
        for length in options.lengths or LENGTHS[task]:
            yield Setting(task, length)


def main(options: Options) -> None:
    """Make the missing runs, then print the table, and write and draw it."""
    jobs = {
        setting: {
            cell: [setting.job(cell, seed, options) for seed in options.seeds]
            for cell in options.cells
        }
        for setting in settings_of(options)
    }
    if not options.finished:
        every = [job for of_cell in jobs.values() for each in of_cell.values() for job in each]
        make_runs(every, options.workers)
    results = {
        setting: {
            cell: [Finished.read(job.folder) for job in each if is_finished(job.folder)]
            for cell, each in of_cell.items()
        }
        for setting, of_cell in jobs.items()
    }
    print(table(results))
    if options.write:
        write_table(PAGE, "memory-tasks", table(results))
    if options.draw:
        draw(results, FIGURE)


def losses(run: Finished) -> list[float]:
    """Loss on the test set after each epoch."""
    return [float(epoch[f"{run.config.split}_loss"]) for epoch in run.metrics["epochs"]]


def succeeded(run: Finished) -> bool:
    """True if the run meets the criterion of its task after the last epoch."""
    result = Result(losses(run)[-1], run.accuracy / 100)
    return TASKS[run.config.task].succeeded(result)


def table(results: Results) -> str:
    """Format the successes as a Markdown table: one line for each task and length."""
    cells = list(next(iter(results.values())))
    lines = [
        f"| task | T | success | guessing | {' | '.join(cell.upper() for cell in cells)} |",
        f"|---|---|---|---|{'---|' * len(cells)}",
    ]
    for setting, of_cell in results.items():
        task = TASKS[setting.task]
        shown = [_successes(runs) for runs in of_cell.values()]
        guessing = f"{task.objective.guessing:.3f}"
        lines.append(
            f"| {NAMES[setting.task]} | {setting.length} | {task.criterion} | {guessing} "
            f"| {' | '.join(shown)} |"
        )
    return "\n".join(lines)


def _successes(runs: list[Finished]) -> str:
    """``4 of 5, loss 0.0012``: the number of successes, and the median loss."""
    if not runs:
        return "not yet run"
    middle = median(losses(run)[-1] for run in runs)
    return f"{sum(map(succeeded, runs))} of {len(runs)}, loss {middle:.2g}"


def draw(results: Results, path: Path) -> None:
    """Draw the test loss after each epoch: a panel for each row, a line for each run."""
    figure = Figure(figsize=(10, 3 * -(-len(results) // 2)), layout="constrained")
    panels = figure.subplots(-(-len(results) // 2), 2, squeeze=False).flat
    for axes, (setting, of_cell) in zip(panels, results.items(), strict=False):
        for cell, runs in of_cell.items():
            for n, run in enumerate(runs):
                label = cell.upper() if n == 0 else None
                values = losses(run)
                epochs = range(1, len(values) + 1)
                axes.plot(epochs, values, color=COLOURS[cell.upper()], alpha=0.7, label=label)
        guessing = TASKS[setting.task].objective.guessing
        axes.axhline(guessing, color="gray", linestyle="--", label="guessing")
        axes.set(title=f"{NAMES[setting.task]}, T = {setting.length}", yscale="log")
        axes.set(xlabel="epoch", ylabel="test loss")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    program = "python -m benchmarks.memory_tasks"
    with clean_exit(program):
        main(parse_arguments(Options, program))
