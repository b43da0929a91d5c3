"""python -m cell_verifier FILE.py:NAME --against lstm"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from cell_verifier.reference.kinds import Against
from cell_verifier.rendering import show
from cell_verifier.report import Report
from cell_verifier.worker import judge


@dataclass(frozen=True)
class Arguments:
    """Compare a recurrent cell or layer of yours with torch.nn's, and name the mistake in it.

    Exit status: 0 equal, 1 different, 2 cannot be checked.
    """

    target: tyro.conf.Positional[str]
    """FILE.py:NAME or package.module:NAME; NAME is a class or function of (input_size,
    hidden_size)."""
    against: Against
    """Which of torch.nn's it should equal."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the report to this file too, as JSON."""
    timeout: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 60.0
    """Stop the cell after so many seconds."""


def main(arguments: Arguments) -> int:
    """Judge, show, and give the exit status."""
    if arguments.timeout <= 0:
        return _refuse(f"--timeout is {arguments.timeout:g}: expected more than zero seconds")
    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        return _refuse(f"--json {arguments.json}: its folder does not exist")
    report = judge(arguments.target, arguments.against, arguments.timeout)
    if arguments.json is not None:
        try:
            write_json(report, arguments.json)
        except OSError as error:
            return _refuse(f"--json {arguments.json}: {error.strerror}")
    show(report, Console())
    return report.exit_status


def write_json(report: Report, path: Path) -> None:
    """Write to a temporary name beside it, then rename: a reader never sees half a report."""
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(report.as_json() + "\n")
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Arguments, prog="python -m cell_verifier")))
    except KeyboardInterrupt:
        sys.exit(130)
