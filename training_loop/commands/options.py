"""train.py's command line: a new run, or one of three things to do with earlier ones."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from command_line.errors import ConfigError
from command_line.program import parse_arguments
from training_loop.config import Config

PROGRAM = "train.py"
CHANGEABLE = {"implementation", "device", "compile", "checkpoint_every", "data_dir"}
"""What another machine, or another implementation of the same cell, may have otherwise."""


def _run(metavar: str) -> object:
    return tyro.conf.arg(constructor=Path, metavar=metavar, help_behavior_hint="(default: none)")


@dataclass(frozen=True)
class Request:
    """Train a recurrent layer to name images that it reads as sequences."""

    resume: Annotated[Path | None, _run("RUN")] = None
    """go on with a run that broke off"""
    evaluate: Annotated[Path | None, _run("RUN")] = None
    """test a run's model"""
    compare: Annotated[
        tuple[Path, ...],
        tyro.conf.arg(metavar="RUN RUN ...", help_behavior_hint="(default: none)"),
    ] = ()
    """draw runs over one another"""
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)

    def __post_init__(self) -> None:
        asked = [name for name in ("resume", "evaluate", "compare") if getattr(self, name)]
        if len(asked) > 1:
            raise ConfigError(f"{' and '.join(asked)} are given: expected one of them at a time")
        if len(self.compare) == 1:
            raise ConfigError("compare is of 1 run: expected two or more")


def parse_request(arguments: Sequence[str] | None = None) -> Request:
    """What a command line asks for.

    With ``--resume`` and ``--evaluate`` the options are the run's own, from its folder; those that
    do not change what is computed can be given anew.

    Raises:
        ConfigError: an option cannot be followed, or a run's folder holds no configuration.
    """
    request = parse_arguments(Request, PROGRAM, arguments)
    folder = request.resume or request.evaluate
    if folder is None:
        return request
    saved = dataclasses.replace(Config.of_run(folder), run_dir=folder)
    request = parse_arguments(Request, PROGRAM, arguments, default=Request(config=saved))
    for name, value in vars(request.config).items():
        if name not in CHANGEABLE and value != getattr(saved, name):
            raise ConfigError(
                f"{name} is {value}: {folder} has {getattr(saved, name)}, and only "
                f"{', '.join(sorted(CHANGEABLE))} can be another"
            )
    return request
