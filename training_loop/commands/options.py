"""Command-line options of train.py: those of a new run, or a command for earlier runs."""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from command_line.errors import ConfigError
from command_line.imports import fast_imports
from command_line.program import parse_arguments
from command_line.trust import require_given
from training_loop.config import CHANGEABLE, Config

PROGRAM = "train.py"


def _run(metavar: str) -> object:
    return tyro.conf.arg(constructor=Path, metavar=metavar, help_behavior_hint="(default: none)")


@dataclass(frozen=True)
class Options:
    """Train a recurrent layer to classify images, or on a task that needs memory."""

    resume: Annotated[Path | None, _run("RUN")] = None
    """resume the interrupted run in the folder RUN"""
    evaluate: Annotated[Path | None, _run("RUN")] = None
    """test the model of the run in the folder RUN; for images, print the accuracy of each class"""
    compare: Annotated[
        tuple[Path, ...],
        tyro.conf.arg(metavar="RUN RUN ...", help_behavior_hint="(default: none)"),
    ] = ()
    """print a table of two or more runs, and plot their losses and accuracies together"""
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)

    def __post_init__(self) -> None:
        given = [name for name in ("resume", "evaluate", "compare") if getattr(self, name)]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} are given: expected one of them at a time")
        if len(self.compare) == 1:
            raise ConfigError("compare is given 1 run: expected two or more")


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line.

    With ``--resume`` and ``--evaluate``, the options are read from the run's folder. Those in
    ``CHANGEABLE`` can be given again with another value.

    Args:
        arguments: without the program's name; None for those of the process.

    Raises:
        ConfigError: an option is invalid, a run's folder has no valid configuration, or it names
            a Python file or module and ``--implementation`` is not given.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse_arguments(Options, PROGRAM, arguments)
    folder = options.resume or options.evaluate
    if folder is None:
        return options
    with fast_imports(PROGRAM):  # imported here: it imports torch, which --help does not need
        from training_loop.runs.saved_config import load_config
    saved = dataclasses.replace(load_config(folder), run_dir=folder)
    given = any(word.partition("=")[0] == "--implementation" for word in arguments)
    require_given(saved.implementation, folder, given)
    options = parse_arguments(Options, PROGRAM, arguments, default=Options(config=saved))
    for name, value in vars(options.config).items():
        if name == "cell" and saved.cell is None:
            continue  # the run has the user's own layer; --implementation scratch needs a cell
        if name not in CHANGEABLE and value != getattr(saved, name):
            raise ConfigError(
                f"{name} is {value}: {folder} has {getattr(saved, name)}, and only "
                f"{', '.join(sorted(CHANGEABLE))} can be changed"
            )
    return options
