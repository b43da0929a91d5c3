"""The command python -m cell_verifier. It imports no torch: only its worker process does."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from cell_verifier.calling.assignments import parse_assignments
from cell_verifier.formats.files import SUFFIXES, is_program_file
from cell_verifier.reference.against import Against
from cell_verifier.rendering import show
from cell_verifier.supervisor import judge
from command_line.errors import ConfigError
from command_line.files import atomic_write, write_errors_as_config_errors
from command_line.program import clean_exit, parse_arguments


@dataclass(frozen=True)
class Arguments:
    """Compare your recurrent cell or layer with torch.nn's and name the mistakes in it.

    The exit status is 0 if it equals torch.nn's, 1 if it differs, 2 if it cannot be checked.
    """

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """The class or function to verify: FILE.py:NAME or package.module:NAME; or a file with an
    exported layer: .onnx, .pt2 (torch.export) or .pt (TorchScript)."""
    against: Against
    """The torch.nn module that it should equal."""
    json: Annotated[
        Path | None,
        tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="(default: none)"),
    ] = None
    """Also write the report to this file, as JSON."""
    args: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="NAME=VALUE ...", help_behavior_hint="(default: none)"),
    ] = ()
    """Values for further arguments of the constructor, such as output_size=5 device=cpu."""
    weights: Annotated[
        Path | None,
        tyro.conf.arg(constructor=Path, metavar="FILE", help_behavior_hint="(default: none)"),
    ] = None
    """For an exported layer, the weights that it should have: a state_dict (.pt, .safetensors) or
    .npz; without this option, those in the exported file are used."""
    tolerance: Annotated[
        float | None, tyro.conf.arg(metavar="VALUE", help_behavior_hint="(default: by dtype)")
    ] = None
    """For an exported layer, the largest relative difference that counts as equal."""
    timeout: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 60.0
    """Stop the verification after this number of seconds."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise ConfigError(
                f"--timeout is {self.timeout:g}: expected a positive, finite number of seconds"
            )
        try:
            parse_assignments(self.args)
        except ValueError as error:
            raise ConfigError(f"--args: {error}; write for example output_size=5") from error
        if self.tolerance is not None and not 0 < self.tolerance < math.inf:
            raise ConfigError(
                f"--tolerance is {self.tolerance:g}: expected a positive, finite value"
            )
        if self.weights is not None and not self.weights.is_file():
            raise ConfigError(f"--weights is {self.weights}: it is not a file; give a state_dict")
        for name in ("weights", "tolerance"):
            if getattr(self, name) is not None and not is_program_file(self.target):
                raise ConfigError(
                    f"--{name} is given, but TARGET is {self.target!r}: expected a file with an "
                    f"exported layer, {', '.join(SUFFIXES)}; leave --{name} out"
                )
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise ConfigError(
                f"--json is {self.json}: the folder {self.json.parent} does not exist; create it"
            )


def main(arguments: Arguments) -> int:
    """Verify the target, print the report, and return the exit status.

    Raises:
        ConfigError: the file for the report cannot be written.
    """
    report = judge(
        arguments.target,
        arguments.against,
        arguments.timeout,
        parse_assignments(arguments.args),
        _program_options(arguments),
    )
    show(report, Console())
    if arguments.json is not None:
        with (
            write_errors_as_config_errors("--json", arguments.json),
            atomic_write(arguments.json) as file,
        ):
            # An unpaired surrogate becomes the escape that JSON has for it.
            file.write(f"{report.as_json()}\n".encode(errors="backslashreplace"))
    return report.exit_status


def _program_options(arguments: Arguments) -> dict[str, Any]:
    """The options of an exported layer, as the worker takes them."""
    weights = None if arguments.weights is None else str(arguments.weights)
    return {"weights": weights, "tolerance": arguments.tolerance}


def run() -> None:
    """Run the command with the process's arguments; end with its exit status.

    A defect of the verifier ends with 2, because 1 means that the cell differs.
    """
    with clean_exit("cell_verifier", defect_status=2):
        sys.exit(main(parse_arguments(Arguments, "python -m cell_verifier")))
