"""Runs laid over one another: scratch over builtin, one cell over another."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from command_line.errors import ConfigError, one_line
from command_line.files import atomic_write
from training_loop.config import Config
from training_loop.reports.plots import draw_comparison
from training_loop.runs.folder import refusing
from training_loop.runs.run import METRICS

PICTURE = "comparison.png"


def compare(folders: Sequence[Path]) -> Path:
    """Print a table of runs, and draw their losses and accuracies over one another.

    Args:
        folders: of runs that have at least one epoch behind them.

    Returns:
        The picture: ``comparison.png`` beside the first run.

    Raises:
        ConfigError: a folder holds no such run, or they were tested on different images.
    """
    runs = {folder: (Config.of_run(folder), read_metrics(folder)) for folder in folders}
    tested = {(config.dataset, config.tested_on) for config, _ in runs.values()}
    if len(tested) > 1:
        sets = ", ".join(sorted(f"{dataset} ({on})" for dataset, on in tested))
        raise ConfigError(f"compare is of runs on {sets}: expected the same images for all")
    ((dataset, on),) = tested

    table = Table(
        "run", "model", "recipe", "seed", "epochs", f"{on} accuracy, {dataset}", "seconds"
    )
    for folder, (config, metrics) in runs.items():
        table.add_row(
            folder.name,
            f"{config.layer}, {config.num_layers} x {config.hidden_size}, {config.sequence}",
            config.recipe,
            str(config.seed),
            str(len(metrics["epochs"])),
            f"{100 * metrics[f'{on}_accuracy']:.2f} %",
            f"{metrics['seconds']:.1f}",
        )
    Console().print(table)

    curves = {}
    for folder, (config, metrics) in runs.items():
        accuracies = [epoch[f"{on}_accuracy"] for epoch in metrics["epochs"]]
        curves[f"{folder.name} ({config.layer})"] = metrics["step_losses"], accuracies
    picture = folders[0].parent / PICTURE
    with refusing(picture.parent), atomic_write(picture) as file:
        draw_comparison(file, curves, on)
    print(f"result  {len(runs)} runs over one another -> {picture}")
    return picture


def read_metrics(folder: Path) -> dict[str, Any]:
    """What a run's ``metrics.json`` has.

    Raises:
        ConfigError: it is not there yet, or damaged.
    """
    file = folder / METRICS
    try:
        metrics = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{folder} has no {METRICS}: its first epoch is not over") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {one_line(error)}") from error
    if not isinstance(metrics, dict) or not metrics.keys() >= {"epochs", "seconds", "step_losses"}:
        raise ConfigError(f"{file} is no run's metrics: expected what train.py wrote")
    return metrics
