"""Commands to look at a finished run, printed for the user to copy."""

import sys
from pathlib import Path

from command_line.errors import ConfigError
from command_line.shell import shell_join
from training_loop.commands.compare import read_metrics
from training_loop.config import Config

TRAIN = Path(__file__).resolve().parents[2] / "train.py"


def next_commands(folder: Path, can_trace: bool) -> list[str]:
    """Commands that work in a fresh shell in the current folder, without an activated .venv.

    Args:
        folder: a finished run.
        can_trace: True if the explorer can show the run's layer, if the run is on images.
    """
    python, train = Path(sys.executable), TRAIN
    own = Config.load(folder).own_implementation
    commands: list[list[Path | str]] = [[python, train, "--evaluate", folder, *own]]
    if (other := latest_comparable(folder)) is not None:
        commands.append([python, train, "--compare", other, folder])
    if can_trace and Config.load(folder).task == "mnist":
        commands.append([python, "-m", "gate_explorer", folder, "--label", "7", *own])
    commands.append([python, "-m", "tensorboard.main", "--logdir", folder.parent])
    return [shell_join(map(_short, command)) for command in commands]


def latest_comparable(folder: Path) -> Path | None:
    """The latest other run in the same parent folder that was tested on the same data."""
    config = Config.load(folder)
    others = []
    for path in folder.parent.iterdir():
        if path.is_dir() and path.name != folder.name:
            try:
                other, _ = Config.load(path), read_metrics(path)
            except ConfigError:
                continue  # not a run, or without a finished epoch
            if (other.subject, other.split) == (config.subject, config.split):
                others.append(path)
    return max(others, key=lambda path: path.stat().st_mtime, default=None)


def _short(argument: Path | str) -> str:
    """A path below the current folder relative to it; anything else unchanged."""
    if isinstance(argument, Path) and argument.is_relative_to(here := Path.cwd()):
        return str(argument.relative_to(here))
    return str(argument)
