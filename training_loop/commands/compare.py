"""``train.py --compare``: several runs in one table and one plot."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from command_line.errors import ConfigError, one_line
from command_line.files import atomic_write, write_errors_as_config_errors
from training_loop.config import Config
from training_loop.reports.plots import draw_comparison
from training_loop.runs.run import METRICS

PLOT = "comparison.png"


def compare(folders: Sequence[Path]) -> Path:
    """Print a table of runs, and plot their losses and accuracies on common axes.

    Args:
        folders: runs with at least one finished epoch.

    Returns:
        The plot: ``comparison.png`` in the parent folder of the first run.

    Raises:
        ConfigError: a folder has no such run, the runs were tested on different images, or the
            plot cannot be written.
    """
    runs = {folder: (Config.load(folder), read_metrics(folder)) for folder in folders}
    tested_on = {(config.dataset, config.split) for config, _ in runs.values()}
    if len(tested_on) > 1:
        sets = ", ".join(sorted(f"{dataset} ({split})" for dataset, split in tested_on))
        raise ConfigError(f"compare is given runs tested on {sets}: expected the same images")
    ((dataset, split),) = tested_on

    table = Table(
        "run", "model", "recipe", "seed", "epochs", f"{split} accuracy, {dataset}", "seconds"
    )
    for folder, (config, metrics) in runs.items():
        table.add_row(
            folder.name,
            f"{config.layer}, {config.num_layers} x {config.hidden_size}, {config.sequence}",
            config.recipe,
            str(config.seed),
            str(len(metrics["epochs"])),
            f"{100 * metrics[f'{split}_accuracy']:.2f} %",
            f"{metrics['seconds']:.1f}",
        )
    Console().print(table)

    curves = {}
    for folder, (config, metrics) in runs.items():
        accuracies = [epoch[f"{split}_accuracy"] for epoch in metrics["epochs"]]
        curves[f"{folder.name} ({config.layer})"] = metrics["step_losses"], accuracies
    plot = folders[0].parent / PLOT
    with write_errors_as_config_errors("compare", plot.parent), atomic_write(plot) as file:
        draw_comparison(file, curves, split)
    print(f"result  plot of {len(runs)} runs -> {plot}")
    return plot


def read_metrics(folder: Path) -> dict[str, Any]:
    """Content of a run's ``metrics.json``.

    Raises:
        ConfigError: it does not exist yet, or is damaged.
    """
    file = folder / METRICS
    try:
        metrics = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{folder} has no {METRICS}: no epoch is finished yet") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {one_line(error)}") from error
    if not isinstance(metrics, dict) or not metrics.keys() >= {"epochs", "seconds", "step_losses"}:
        raise ConfigError(f"{file} is not a run's metrics: expected a file written by train.py")
    return metrics
