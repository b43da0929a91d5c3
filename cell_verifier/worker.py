"""The process that runs the user's code: load a target, verify it, and leave the report."""

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from cell_verifier.api import verify
from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.files import is_program_file, read_weights
from cell_verifier.reference.against import Against
from cell_verifier.report import Report
from cell_verifier.supervisor import end_with_parent, unchecked
from command_line.errors import ConfigError, own_line
from command_line.load_object import load_object


def work(
    target: str,
    against: Against,
    arguments: Mapping[str, Any],
    result: str,
    parent: int,
    program_options: Mapping[str, Any],
) -> None:
    """Verify a target, write the pickled report to a file, and end this process.

    Args:
        target, against, arguments, program_options: as for ``judge_here``.
        result: path of the file.
        parent: process id of the supervisor. If it ends, this process is killed.
    """
    end_with_parent(parent)
    for stream in sys.stdout, sys.stderr:  # the cell may print anything
        assert isinstance(stream, TextIOWrapper)  # this process has just started
        stream.reconfigure(errors="backslashreplace")
    process = os.getpid()
    report = judge_here(target, against, arguments, program_options)
    if os.getpid() == process:  # not in a copy of this process that the cell has forked
        Path(result).write_bytes(pickle.dumps(report))
    for stream in sys.stdout, sys.stderr:
        with suppress(Exception):  # the cell may have closed or replaced it
            stream.flush()
    os._exit(0)  # neither threads nor exit handlers of the cell delay the report


def judge_here(
    target: str,
    against: Against,
    arguments: Mapping[str, Any] | None = None,
    program_options: Mapping[str, Any] | None = None,
) -> Report:
    """Load and verify a target in this process; any exception becomes an ``unchecked`` report."""
    try:
        if is_program_file(target):
            options = dict(program_options or {})
            weights = options.pop("weights", None)
            if weights is not None:
                options["weights"] = read_weights(Path(weights))
            return verify(target, against, **options)
        return verify(_load_callable(target), against, arguments=arguments)
    except (CannotCheckError, ConfigError) as error:
        return unchecked(target, against, str(error))
    except BaseException as error:  # the user's code may raise anything, KeyboardInterrupt included
        return unchecked(target, against, own_line(error))


def _load_callable(target: str) -> Callable[..., Any]:
    found = load_object(target)
    if not callable(found):
        raise CannotCheckError(
            f"{target} is of type {type(found).__name__}: name a class or a function"
        )
    make: Callable[..., Any] = found
    return make
