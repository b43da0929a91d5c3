"""What every command does first and last: parse its arguments, and exit with the right status."""

import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import TypeVar

import tyro

from command_line.argument_errors import explain, list_without_values
from command_line.errors import (
    USAGE_ERROR,
    ConfigError,
    LostProcessError,
    Stopped,
    is_lost_connection,
    missing_package,
    printable,
)
from command_line.output import checked_output, discard_output

Options = TypeVar("Options")

INTERRUPTED = 128 + signal.SIGINT


def parse_arguments(
    kind: type[Options],
    program: str,
    arguments: Sequence[str] | None = None,
    default: Options | None = None,
) -> Options:
    """Parse a command line into a dataclass; ``--help`` prints the options and exits.

    Args:
        kind: a dataclass. Each field is an option; the field's docstring is its help text.
        program: the name of the command in the help text.
        arguments: the arguments without the program's name; None for ``sys.argv[1:]``.
        default: the values of options that are not given; None for the dataclass's defaults.

    Raises:
        ConfigError: an option is unknown or missing, lacks its value, or has a bad value.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        # tyro describes an error in a box of several lines; explain() does so in one.
        with contextlib.redirect_stderr(io.StringIO()):
            options: Options = tyro.cli(
                kind,
                prog=program,
                args=arguments,
                default=tyro.MISSING_NONPROP if default is None else default,
                # FlagCreatePairsOff: do not generate a --no-NAME option for each flag.
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as exit:
        if exit.code != USAGE_ERROR:
            raise
        raise ConfigError(explain(kind, arguments)) from None
    if error := list_without_values(kind, arguments):
        raise ConfigError(error)
    return options


@contextlib.contextmanager
def clean_exit(program: str, defect_status: int | None = None) -> Iterator[None]:
    """End a command with one line on stderr, and no traceback, if its user can act on the error.

    Exit status: that of the exception (see ``command_line.errors``), which is 2 if an argument,
    a file or a folder cannot be used, or if the output cannot be written; 130 after Ctrl-C; 143
    after SIGTERM; 1 if another process of the run has ended. Any other exception is a defect of
    the program and keeps its traceback.

    Args:
        program: name of the command in the line.
        defect_status: exit status after a defect, if 1 has another meaning for this command.
    """
    try:
        with checked_output():
            yield
    except KeyboardInterrupt:
        _exit(f"{program}: interrupted", INTERRUPTED)
    except Stopped as stopped:
        # All processes of a run stop together; only the first one prints.
        line = f"{program}: {stopped}" if os.environ.get("RANK", "0") == "0" else ""
        _exit(line, stopped.exit_status)
    except Exception as error:
        reported = LostProcessError() if is_lost_connection(error) else _users_error(error)
        status = getattr(reported, "exit_status", None)
        if status is not None:
            _exit(f"{program}: error: {reported}", status)
        if defect_status is None:
            raise
        traceback.print_exc()
        raise SystemExit(defect_status) from None


def _users_error(error: Exception) -> Exception:
    """A missing package, or an error of the system, in one line; any other error unchanged.

    The system's errors have an ``errno``. They concern a file, the disk or a limit, which the user
    can change, whichever line of the program raises them.
    """
    if isinstance(error, ModuleNotFoundError) and (message := missing_package(error)):
        return ConfigError(message)
    if not isinstance(error, OSError) or error.errno is None:
        return error
    if error.filename is None:
        return ConfigError(f"the system reports: {error.strerror}")
    return ConfigError(f"cannot use {os.fsdecode(error.filename)}: {error.strerror}")


def _exit(line: str, status: int) -> None:
    if line:
        try:
            print(printable(line), file=sys.stderr, flush=True)
        except OSError:  # stderr is closed, or its disk is full
            discard_output(sys.stderr)
    raise SystemExit(status)
