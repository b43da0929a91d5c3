"""Accuracy benchmark: train every cell with train.py and print a table of the test accuracies.

    python -m benchmarks.accuracy --data-dir data
    python -m benchmarks.accuracy --data-dir data --recipes strong --epochs 10

Each run is a separate process with one thread; several run in parallel. The command can be
interrupted and repeated: results of finished runs are read from their folders, and interrupted runs
are resumed.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Literal

from rich.progress import track

from benchmarks.end_to_end import ROOT
from command_line.errors import ConfigError, one_line
from command_line.program import clean_exit, parse_arguments
from training_loop.commands.compare import read_metrics
from training_loop.config import Config

Cell = Literal["rnn", "gru", "lstm"]
Implementation = Literal["scratch", "builtin"]
Recipe = Literal["strong", "tutorial"]


@dataclass(frozen=True)
class Options:
    """Train every cell with several seeds and print a table of the test accuracies."""

    cells: tuple[Cell, ...] = ("rnn", "gru", "lstm")
    """cell types to train"""
    implementations: tuple[Implementation, ...] = ("scratch", "builtin")
    """implementations to train (train.py --implementation)"""
    recipes: tuple[Recipe, ...] = ("tutorial", "strong")
    """training recipes (train.py --recipe)"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """random seeds; every combination is trained once per seed"""
    epochs: int = 2
    """number of passes over the training images"""
    dataset: Literal["mnist", "fashion-mnist", "kmnist", "digits"] = "mnist"
    """data set to train on"""
    workers: int = os.cpu_count() or 1
    """number of runs in parallel"""
    data_dir: Path = Path("data")
    """data directory; missing files are downloaded to it"""
    run_dir: Path = Path("runs/accuracy")
    """directory for the run directories"""

    def __post_init__(self) -> None:
        for name in ("epochs", "workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected at least 1")


@dataclass(frozen=True)
class Row:
    """One line of the table: runs that differ only in their seed."""

    cell: Cell
    implementation: Implementation
    recipe: Recipe

    def folder(self, options: Options, seed: int) -> Path:
        """The run directory for this seed."""
        name = f"{options.dataset}-{options.epochs}-{self.recipe}-{self.cell}-{self.implementation}"
        return options.run_dir / f"{name}-{seed}"


def main(options: Options) -> None:
    """Make the missing runs, then print the table."""
    rows = [
        Row(cell, implementation, recipe)
        for recipe, cell, implementation in product(
            options.recipes, options.cells, options.implementations
        )
    ]
    jobs = [(row, seed) for row in rows for seed in options.seeds]
    with ThreadPoolExecutor(options.workers) as pool:
        done = pool.map(lambda job: train_once(*job, options), jobs)
        for _ in track(done, "training", total=len(jobs), transient=True):
            pass
    print(f"{options.dataset}, {options.epochs} epochs, seeds {', '.join(map(str, options.seeds))}")
    print(table(rows, options))


def train_once(row: Row, seed: int, options: Options) -> None:
    """Run train.py once, unless this run is finished; resume it if it was interrupted.

    Raises:
        ConfigError: the run failed.
    """
    folder = row.folder(options, seed)
    if (folder / "model.safetensors").is_file():
        return
    command = [sys.executable, "train.py"]
    if (folder / "checkpoint.safetensors").is_file():
        command += ["--resume", str(folder)]
    else:
        arguments = {
            "cell": row.cell,
            "implementation": row.implementation,
            "recipe": row.recipe,
            "seed": seed,
            "epochs": options.epochs,
            "dataset": options.dataset,
            "data-dir": options.data_dir,
            "run-dir": folder,
        }
        command += [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{folder} failed: {one_line(done.stderr)[-300:]}")


def table(rows: list[Row], options: Options) -> str:
    """Format the runs as a Markdown table: median accuracy, accuracy per seed, median seconds."""
    lines = [
        "| recipe | cell | implementation | median | each seed | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        folders = [row.folder(options, seed) for seed in options.seeds]
        metrics_of_runs = [read_metrics(folder) for folder in folders]
        split = Config.load(folders[0]).split
        percent = [100 * metrics[f"{split}_accuracy"] for metrics in metrics_of_runs]
        lines.append(
            f"| {row.recipe} | {row.cell.upper()} | {row.implementation} | {median(percent):.2f} % "
            f"| {', '.join(f'{value:.2f}' for value in percent)} "
            f"| {median(metrics['seconds'] for metrics in metrics_of_runs):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    program = "python -m benchmarks.accuracy"
    with clean_exit(program):
        main(parse_arguments(Options, program))
