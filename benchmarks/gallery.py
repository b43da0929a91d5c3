"""How well do the cells of examples/ learn? ``python -m benchmarks.gallery --data-dir data``

Trains every cell of the gallery by ``train.py --implementation examples/FILE.py:NAME`` on MNIST,
read by rows, for two epochs, and prints the table of docs/tutorials/gallery.md. A finished run is
read from its folder and an interrupted one is resumed (see training_runs.py).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.pages import write_table
from benchmarks.training_runs import ROOT, Finished, Job, is_finished, make_runs
from command_line.errors import ConfigError
from command_line.program import clean_exit, parse_arguments

PAGE = ROOT / "docs/tutorials/gallery.md"


class Cell(NamedTuple):
    """One line of the table: a name for people, file and class in examples/, what differs."""

    name: str
    file: str
    target: str
    difference: str


CELLS = (
    Cell("update gate RNN", "custom_cell", "UGRNNCell", "one gate decides how much of h is kept"),
    Cell("minimal gated unit", "minimal_gated_cell", "MinimalGatedCell", "a GRU with one gate"),
    Cell("coupled-gate LSTM", "coupled_gate_lstm", "CoupledGateLSTMCell", "f = 1 - i"),
    Cell("peephole LSTM", "peephole_lstm", "PeepholeLSTMCell", "the gates read c"),
    Cell(
        "layer-normalized LSTM",
        "layer_norm_lstm",
        "LayerNormLSTMCell",
        "normalization of both products and of c",
    ),
    Cell(
        "layer-normalized GRU",
        "layer_norm_gru",
        "LayerNormGRUCell",
        "normalization of both products",
    ),
    Cell(
        "recurrent dropout",
        "recurrent_dropout_lstm",
        "RecurrentDropoutLSTMCell",
        "dropout of the candidate",
    ),
    Cell("zoneout", "zoneout_lstm", "ZoneoutLSTMCell", "units keep their old state at random"),
    Cell("IndRNN", "independent_rnn", "IndRNNCell", "each unit reads only its own state"),
    Cell("minGRU", "minimal_gru", "MinGRU", "the gates do not read h: a parallel scan"),
    Cell("minLSTM", "minimal_lstm", "MinLSTM", "the gates do not read h: a parallel scan"),
)


@dataclass(frozen=True)
class Options:
    """Train every cell of the gallery on MNIST for two epochs, and print a table."""

    names: tuple[str, ...] = ()
    """classes to train, for example PeepholeLSTMCell; none: all"""
    workers: int = os.cpu_count() or 1
    """number of runs in parallel"""
    data_dir: Path = Path("data")
    """data directory; missing files are downloaded to it"""
    run_dir: Path = Path("runs/gallery")
    """directory for the run directories"""
    finished: bool = False
    """use the finished runs only, and start none"""
    write: bool = False
    """write the table (docs/tutorials/gallery.md)"""

    def __post_init__(self) -> None:
        known = [cell.target for cell in CELLS]
        if unknown := [name for name in self.names if name not in known]:
            raise ConfigError(f"names has {unknown[0]}: expected some of {', '.join(known)}")
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}: expected at least 1")


def main(options: Options) -> None:
    """Make the missing runs, then print the table, and write it."""
    if not options.finished:
        chosen = [cell for cell in CELLS if not options.names or cell.target in options.names]
        make_runs([job(cell, options) for cell in chosen], options.workers)
    print(table(options))
    if options.write:
        write_table(PAGE, "gallery", table(options))


def job(cell: Cell, options: Options) -> Job:
    """The run of one cell."""
    settings = {
        "implementation": f"examples/{cell.file}.py:{cell.target}",
        "dataset": "mnist",
        "epochs": 2,
        "data-dir": options.data_dir.resolve(),
        "checkpoint-every": 100,
    }
    return Job((options.run_dir / cell.target).resolve(), settings)


def table(options: Options) -> str:
    """Format the runs as a Markdown table: one line for each cell of the gallery."""
    lines = ["| cell | file | what differs | parameters | accuracy |", "|---|---|---|---|---|"]
    for cell in CELLS:
        folder = job(cell, options).folder
        parameters, accuracy = "", "not yet run"
        if is_finished(folder):
            run = Finished.read(folder)
            parameters, accuracy = f"{run.metrics['parameters']:,}", f"{run.accuracy:.2f} %"
        lines.append(
            f"| {cell.name} | `{cell.file}.py` | {cell.difference} | {parameters} | {accuracy} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    program = "python -m benchmarks.gallery"
    with clean_exit(program):
        main(parse_arguments(Options, program))
