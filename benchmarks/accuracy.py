"""Accuracy benchmark: train every cell with train.py and print a table of the test accuracies.

    python -m benchmarks.accuracy --data-dir data
    python -m benchmarks.accuracy --data-dir data --recipes strong --epochs 10 --seeds 0 1 2 3 4
    python -m benchmarks.accuracy --data-dir data --recipes strong --sequences pixels permuted \
        --cells gru lstm --implementations scratch --num-layers 1 --epochs 20

One row of a table is made again by naming its cell and implementation, with the other options as
for the whole table. To choose a recipe without the test images, add ``--validation``, and several
values of ``--inits`` or ``--learning-rates``:

    python -m benchmarks.accuracy --data-dir data --validation --recipes strong --seeds 0 \
        --sequences permuted --cells lstm --implementations scratch --num-layers 1 --epochs 2 \
        --inits orthogonal chrono uniform-gate --learning-rates 1e-3 2e-3

Each run is a process of its own with one thread; several run in parallel. The command can be
interrupted and repeated (see training_runs.py).
"""

import csv
import io
import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median, stdev
from typing import Literal

from benchmarks.accuracy_plot import draw
from benchmarks.pages import write_table
from benchmarks.training_runs import ROOT, Finished, Job, is_finished, make_runs
from command_line.errors import ConfigError
from command_line.files import atomic_write
from command_line.program import clean_exit, parse_arguments
from training_loop.recipes import Init

Cell = Literal["rnn", "gru", "lstm"]
Implementation = Literal["scratch", "builtin"]
Recipe = Literal["strong", "tutorial"]
Sequence = Literal["rows", "columns", "pixels", "permuted"]

PAGE = ROOT / "docs/results/accuracy.md"
RUNS = ROOT / "docs/results/runs"
FIGURES = ROOT / "docs/figures"


@dataclass(frozen=True)
class Options:
    """Train every cell with several seeds and print a table of the test accuracies."""

    cells: tuple[Cell, ...] = ("rnn", "gru", "lstm")
    """cell types to train"""
    implementations: tuple[Implementation, ...] = ("scratch", "builtin")
    """implementations to train (train.py --implementation)"""
    recipes: tuple[Recipe, ...] = ("tutorial", "strong")
    """training recipes (train.py --recipe)"""
    sequences: tuple[Sequence, ...] = ("rows",)
    """what is read at each time step (train.py --sequence); each has a table of its own"""
    inits: tuple[Init, ...] = ()
    """initialization schemes (train.py --init); none: the recipe's"""
    learning_rates: tuple[float, ...] = ()
    """peak learning rates (train.py --learning-rate); none: the recipe's"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """random seeds; every combination is trained once per seed"""
    epochs: int = 2
    """number of passes over the training images"""
    batch_size: int | None = None
    """number of images in a batch; None: the recipe's"""
    hidden_size: int = 128
    """number of units of the hidden state"""
    num_layers: int = 2
    """number of stacked layers"""
    dataset: Literal["mnist", "fashion-mnist", "kmnist", "digits"] = "mnist"
    """data set to train on"""
    validation: bool = False
    """measure on held-out training images instead of the test images, to choose a recipe"""
    workers: int = os.cpu_count() or 1
    """number of runs in parallel"""
    checkpoint_every: int = 100
    """number of steps between two checkpoints, from which an interrupted run is resumed"""
    data_dir: Path = Path("data")
    """data directory; missing files are downloaded to it"""
    run_dir: Path = Path("runs/accuracy")
    """directory for the run directories"""
    finished: bool = False
    """use the finished runs only, and start none"""
    write: bool = False
    """write each run's metrics (docs/results/runs) and the tables (docs/results/accuracy.md)"""
    draw: bool = False
    """draw the accuracy after each epoch (docs/figures/accuracy_SEQUENCE.png)"""

    def __post_init__(self) -> None:
        for name in ("epochs", "workers", "hidden_size", "num_layers", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected at least 1")


@dataclass(frozen=True)
class Row:
    """One line of a table: runs that differ only in their seed."""

    sequence: Sequence
    recipe: Recipe
    cell: Cell
    implementation: Implementation
    init: Init | None = None
    learning_rate: float | None = None

    def job(self, options: Options, seed: int) -> Job:
        """The run with this seed."""
        settings = {
            "dataset": options.dataset,
            "sequence": self.sequence,
            "epochs": options.epochs,
            "recipe": self.recipe,
            "cell": self.cell,
            "implementation": self.implementation,
            "num-layers": options.num_layers,
            "hidden-size": options.hidden_size,
            "init": self.init,
            "learning-rate": self.learning_rate,
            "batch-size": options.batch_size,
            "validation": options.validation or None,
            "seed": seed,
        }
        given: dict[str, object] = {
            name: value for name, value in settings.items() if value is not None
        }
        given |= {"data-dir": options.data_dir, "checkpoint-every": options.checkpoint_every}
        return Job(options.run_dir / f"{self.name(options)}-{seed}", given)

    def name(self, options: Options) -> str:
        """Name of the runs without the seed; what has its default value is left out."""
        size = f"{options.num_layers}x{options.hidden_size}"
        parts = (
            options.dataset,
            "" if self.sequence == "rows" else self.sequence,
            str(options.epochs),
            self.recipe,
            self.cell,
            self.implementation,
            "" if size == "2x128" else size,
            self.init or "",
            f"lr{self.learning_rate:g}" if self.learning_rate else "",
            f"batch{options.batch_size}" if options.batch_size else "",
            "validation" if options.validation else "",
        )
        return "-".join(filter(None, parts))


Results = dict[Row, dict[str, Finished]]
"""The finished runs of each row, by the names of their folders."""


def main(options: Options) -> None:
    """Make the missing runs, then print the tables, and write and draw them."""
    rows = [
        Row(*values)
        for values in product(
            options.sequences,
            options.recipes,
            options.cells,
            options.implementations,
            options.inits or (None,),
            options.learning_rates or (None,),
        )
    ]
    jobs = {row: [row.job(options, seed) for seed in options.seeds] for row in rows}
    if not options.finished:
        make_runs([job for of_row in jobs.values() for job in of_row], options.workers)
    for sequence in options.sequences:
        results = {
            row: found
            for row in rows
            if row.sequence == sequence and (found := read_results(jobs[row]))
        }
        split = "validation" if options.validation else "test"
        print(f"{options.dataset}, by {sequence}, {options.epochs} epochs: {split} accuracy in %")
        print(table(results))
        if options.write:
            write_metrics(results)
            write_table(PAGE, f"{options.dataset}-{sequence}-{options.epochs}", table(results))
        if options.draw:
            draw(curves(results), FIGURES / f"accuracy_{sequence}.png")


def read_results(jobs: list[Job]) -> dict[str, Finished]:
    """The finished runs, by the names of their folders."""
    folders = [job.folder for job in jobs if is_finished(job.folder)]
    return {folder.name: Finished.read(folder) for folder in folders}


def table(results: Results) -> str:
    """Format the runs as a Markdown table."""
    lines = [
        "| cell | implementation | recipe | mean ± standard deviation | median | each seed "
        "| parameters | epochs | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, runs in results.items():
        percent = [run.accuracy for run in runs.values()]
        deviation = f" ± {stdev(percent):.2f}" if len(percent) > 1 else ""
        first = next(iter(runs.values()))
        config = first.config
        recipe = (
            f"{config.recipe}: {config.num_layers} x {config.hidden_size}, {config.init}, "
            f"{config.learning_rate:g}, {config.batch_size}"
        )
        cells = (
            row.cell.upper(),
            row.implementation,
            recipe,
            f"{mean(percent):.2f}{deviation}",
            f"{median(percent):.2f}",
            ", ".join(f"{value:.2f}" for value in percent),
            f"{first.metrics['parameters']:,}",
            str(len(first.metrics["epochs"])),
            f"{median(run.metrics['seconds'] for run in runs.values()):.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_metrics(results: Results) -> None:
    """Write ``docs/results/runs/NAME.csv`` for each run: one line for each epoch."""
    RUNS.mkdir(exist_ok=True)
    for runs in results.values():
        for name, run in runs.items():
            with atomic_write(RUNS / f"{name}.csv") as file:
                file.write(metrics_csv(run).encode())


def metrics_csv(run: Finished) -> str:
    """Epoch, training loss, test accuracy (0 to 1) and seconds of training, without the test."""
    epochs, split = run.metrics["epochs"], run.config.split
    steps = len(run.metrics["step_losses"]) // len(epochs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("epoch", "training_loss", f"{split}_accuracy", "seconds"))
    for epoch in epochs:
        # images_per_second: in the metrics of earlier runs
        speed = epoch.get("sequences_per_second") or epoch["images_per_second"]
        writer.writerow(
            (
                epoch["epoch"],
                f"{epoch['training_loss']:.6f}",
                f"{epoch[f'{split}_accuracy']:.4f}",
                f"{steps * run.config.batch_size / speed:.1f}",  # whole batches, as all of MNIST's
            )
        )
    return text.getvalue()


def curves(results: Results) -> dict[str, list[list[float]]]:
    """Accuracy after each epoch in percent, of each run of a row, by what differs in the rows."""
    described = {
        row: (row.cell.upper(), row.implementation, row.recipe, row.init, row.learning_rate)
        for row in results
    }
    columns = list(zip(*described.values(), strict=True))
    shown = [n for n, values in enumerate(columns) if n == 0 or len(set(values)) > 1]
    return {
        ", ".join(str(described[row][n]) for n in shown): [run.accuracies for run in runs.values()]
        for row, runs in results.items()
    }


if __name__ == "__main__":
    program = "python -m benchmarks.accuracy"
    with clean_exit(program):
        main(parse_arguments(Options, program))
