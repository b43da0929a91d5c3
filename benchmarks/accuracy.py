"""What each cell learns, by train.py: the tables of docs/how-to/train.md.

    python -m benchmarks.accuracy --data-dir data
    python -m benchmarks.accuracy --data-dir data --recipes strong --epochs 10

Every run is a process of its own on one thread, several at a time. A run that is finished is taken
from its folder, and one that broke off goes on, so that the command can be stopped and repeated.
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
    """Train every cell with several seeds, and print a table of what it learned."""

    cells: tuple[Cell, ...] = ("rnn", "gru", "lstm")
    """recurrent layers"""
    implementations: tuple[Implementation, ...] = ("scratch", "builtin")
    """of train.py"""
    recipes: tuple[Recipe, ...] = ("tutorial", "strong")
    """of train.py"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """a run for each"""
    epochs: int = 2
    """passes over the training images"""
    dataset: Literal["mnist", "fashion-mnist", "kmnist", "digits"] = "mnist"
    """what is read"""
    workers: int = os.cpu_count() or 1
    """runs at a time"""
    data_dir: Path = Path("data")
    """folder in which MNIST/raw is or shall be"""
    run_dir: Path = Path("runs/accuracy")
    """folder for the run folders"""

    def __post_init__(self) -> None:
        for name in ("epochs", "workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected at least 1")


@dataclass(frozen=True)
class Row:
    """One line of the table: the runs that differ in their seed alone."""

    cell: Cell
    implementation: Implementation
    recipe: Recipe

    def folder(self, options: Options, seed: int) -> Path:
        """Where the run with this seed is."""
        name = f"{options.dataset}-{options.epochs}-{self.recipe}-{self.cell}-{self.implementation}"
        return options.run_dir / f"{name}-{seed}"


def main(options: Options) -> None:
    """Make the runs that are not there yet, and print the table."""
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
    """One run of train.py, unless it is finished already.

    Raises:
        ConfigError: it failed.
    """
    folder = row.folder(options, seed)
    if (folder / "model.safetensors").is_file():
        return
    command = [sys.executable, "train.py"]
    if (folder / "checkpoint.safetensors").is_file():
        command += ["--resume", str(folder)]
    else:
        choices = {
            "cell": row.cell,
            "implementation": row.implementation,
            "recipe": row.recipe,
            "seed": seed,
            "epochs": options.epochs,
            "dataset": options.dataset,
            "data-dir": options.data_dir,
            "run-dir": folder,
        }
        command += [word for name, value in choices.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{folder} failed: {one_line(done.stderr)[-300:]}")


def table(rows: list[Row], options: Options) -> str:
    """The runs as a table in Markdown: median accuracy, each seed's, median seconds."""
    lines = [
        "| recipe | cell | implementation | median | each seed | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        folders = [row.folder(options, seed) for seed in options.seeds]
        found = [read_metrics(folder) for folder in folders]
        tested = Config.load(folders[0]).split
        shares = [100 * metrics[f"{tested}_accuracy"] for metrics in found]
        lines.append(
            f"| {row.recipe} | {row.cell.upper()} | {row.implementation} | {median(shares):.2f} % "
            f"| {', '.join(f'{share:.2f}' for share in shares)} "
            f"| {median(metrics['seconds'] for metrics in found):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    program = "python -m benchmarks.accuracy"
    with clean_exit(program):
        main(parse_arguments(Options, program))
