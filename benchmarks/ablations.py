"""What does each gate do? ``python -m benchmarks.ablations``

Trains the LSTM and the GRU, whole and with one part removed (``examples/ablations.py``), on the
embedded digits by pixels: 64 time steps of one pixel each. Prints the table of
docs/tutorials/ablations.md; ``--draw`` writes its picture. A finished run is read from its folder.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from benchmarks.end_to_end import ROOT
from command_line.program import clean_exit, parse_arguments
from training_loop.commands.compare import read_metrics

FIGURE = ROOT / "docs/figures/ablations.png"

CELLS = {
    "LSTM": ("--cell", "lstm"),
    "LSTM without forget gate": "LSTMWithoutForgetGate",
    "LSTM without input gate": "LSTMWithoutInputGate",
    "LSTM without output gate": "LSTMWithoutOutputGate",
    "LSTM with coupled gates": "LSTMWithCoupledGates",
    "GRU": ("--cell", "gru"),
    "GRU without reset gate": "GRUWithoutResetGate",
    "GRU without update gate": "GRUWithoutUpdateGate",
}
"""The name in the table -> the options of train.py, or the class in examples/ablations.py."""

SETTINGS = ("--dataset", "digits", "--sequence", "pixels", "--num-layers", "1")
SETTINGS += ("--hidden-size", "32", "--epochs", "20")


@dataclass(frozen=True)
class Options:
    """Train the LSTM and the GRU, whole and with one part removed, and print a table."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """a run for each"""
    run_dir: Path = Path("runs/ablations")
    """folder for the run folders"""
    draw: bool = False
    """write the picture of the documentation"""


def accuracy(name: str, seed: int, run_dir: Path) -> float:
    """Test accuracy of one run in percent; train it first if it is not finished."""
    given = CELLS[name]
    if isinstance(given, str):
        given = ("--implementation", f"examples/ablations.py:{given}")
    folder = (run_dir / f"{name.replace(' ', '-')}-{seed}").resolve()
    if not (folder / "model.safetensors").exists():
        command = [sys.executable, "train.py", *SETTINGS, *given, "--seed", str(seed)]
        command += ["--run-dir", str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return 100 * float(read_metrics(folder)["test_accuracy"])


def draw(results: dict[str, list[float]], path: Path) -> None:
    """One row for each cell, one dot for each seed."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for row, (name, values) in enumerate(results.items()):
        color = "tab:blue" if name.startswith("LSTM") else "tab:green"
        axes.plot(values, [row] * len(values), "o", color=color, alpha=0.7)
        axes.plot([median(values)], [row], "|", color=color, markersize=18)
    axes.set_yticks(range(len(results)), list(results))
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="test accuracy in percent")
    axes.grid(axis="x", color="lightgray")
    figure.savefig(path, dpi=120)


def main(options: Options) -> None:
    """Make the missing runs, print the table, and draw."""
    results = {}
    for name in CELLS:
        results[name] = [accuracy(name, seed, options.run_dir) for seed in options.seeds]
        each = ", ".join(f"{value:.1f}" for value in results[name])
        print(f"| {name} | {median(results[name]):.1f} | {each} |", flush=True)
    if options.draw:
        draw(results, FIGURE)


if __name__ == "__main__":
    program = "python -m benchmarks.ablations"
    with clean_exit(program):
        main(parse_arguments(Options, program))
