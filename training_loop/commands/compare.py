"""``train.py --compare``: several runs in one table and one plot."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from command_line.errors import ConfigError, one_line, printable
from command_line.files import atomic_write, write_errors_as_config_errors
from training_loop.config import Config
from training_loop.reports.plots import draw_comparison
from training_loop.runs.run import METRICS
from training_loop.runs.saved_config import load_config

PLOT = "comparison.png"


def compare(folders: Sequence[Path]) -> Path:
    """Print a table of runs, and plot their losses and accuracies on common axes.

    Args:
        folders: runs with at least one finished epoch.

    Returns:
        The plot: ``comparison.png`` in the parent folder of the first run.

    Raises:
        ConfigError: a folder has no such run, the runs were tested on different data, or the
            plot cannot be written.
    """
    folders = [
        folder for folder in folders if folder.name != PLOT
    ]  # in runs/*, after the first time
    if len(folders) < 2:
        raise ConfigError(f"compare is given {len(folders)} run: expected two or more")
    names = short_names(folders)
    runs = [(load_config(folder), read_metrics(folder)) for folder in folders]
    tested_on = {(config.subject, config.split) for config, _ in runs}
    if len(tested_on) > 1:
        sets = ", ".join(sorted(f"{subject} ({split})" for subject, split in tested_on))
        raise ConfigError(f"compare is given runs tested on {sets}: expected the same data")
    ((subject, split),) = tested_on

    table = Table(title=f"{split} accuracy, {subject}")
    for column in ("run", "model", "recipe", "seed", "epochs", "accuracy", "seconds"):
        table.add_column(column, overflow="fold")  # fold: a name is shown in full, over some lines
    for name, (config, metrics) in zip(names, runs, strict=True):
        cells = (
            printable(name),
            printable(f"{config.reader}, {config.num_layers} x {config.hidden_size}"),
            config.recipe,
            str(config.seed),
            str(len(metrics["epochs"])),
            f"{100 * metrics['epochs'][-1][f'{split}_accuracy']:.2f} %",
            f"{metrics['seconds']:.1f}",
        )
        table.add_row(*map(Text, cells))  # Text: [red] in a name is not a colour
    Console().print(table)

    curves = {}
    for name, (config, metrics) in zip(names, runs, strict=True):
        accuracies = [epoch[f"{split}_accuracy"] for epoch in metrics["epochs"]]
        curves[f"{name} ({config.layer})"] = metrics["step_losses"], accuracies
    plot = folders[0].parent / PLOT
    with write_errors_as_config_errors("compare", plot.parent), atomic_write(plot) as file:
        draw_comparison(file, curves, split, runs[0][0].loss_unit)
    print(f"result  plot of {len(runs)} runs -> {printable(plot)}")
    return plot


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path; as many parts as needed if two of them are equal.

    Raises:
        ConfigError: a folder is given twice.
    """
    paths = [folder.absolute() for folder in folders]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigError(f"compare is given {twice} twice: expected different runs")
    for number in range(1, max(len(path.parts) for path in paths)):
        names = [str(Path(*path.parts[-number:])) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def read_metrics(folder: Path) -> dict[str, Any]:
    """Content of a run's ``metrics.json``.

    Raises:
        ConfigError: it does not exist yet, or is damaged.
    """
    file = folder / METRICS
    try:
        if not os.path.isfile(file):  # False for a pipe, which would block
            raise FileNotFoundError
        metrics = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{folder} has no {METRICS}: no epoch is finished yet") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read: {one_line(error)}") from error
    if problem := _problem_of(metrics, "validation" if Config.load(folder).validation else "test"):
        raise ConfigError(
            f"{file} is not a run's metrics: {problem} is missing or wrong; "
            "expected a file written by train.py"
        )
    return metrics  # type: ignore[no-any-return]  # its content has been checked above


def _problem_of(metrics: Any, split: str) -> str:
    """What is wrong with the content of a ``metrics.json``; empty if nothing is."""
    if not isinstance(metrics, dict):
        return "its object"
    if not _is_number(metrics.get("seconds")):
        return "seconds"
    losses, epochs = metrics.get("step_losses"), metrics.get("epochs")
    if not isinstance(losses, list) or not losses or not all(map(_is_number, losses)):
        return "step_losses"
    if not isinstance(epochs, list) or not epochs:
        return "epochs"
    for epoch in epochs:
        if not isinstance(epoch, dict) or not _is_number(epoch.get(f"{split}_accuracy")):
            return f"{split}_accuracy of an epoch"
    return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300  # False for NaN and for integers that no float can hold
