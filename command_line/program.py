"""A command's edges: arguments in; one clear line and an exit status out."""

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from itertools import dropwhile, takewhile
from typing import TypeVar

import tyro

from command_line.errors import ConfigError, LostProcessError, Stopped, is_lost_connection

Options = TypeVar("Options")

BROKEN_OFF = 1  # another process of the same run is gone
BAD_REQUEST = 2  # an argument, file or folder cannot be used
SIGNALLED = 128  # and the signal's number on top, as shells have it
INTERRUPTED = SIGNALLED + signal.SIGINT


def parse_arguments(
    kind: type[Options],
    program: str,
    arguments: Sequence[str] | None = None,
    default: Options | None = None,
) -> Options:
    """The options that a command line asks for; ``--help`` prints itself and exits.

    Args:
        kind: a dataclass: one option a field, with the field's docstring as its help.
        program: what the command is called.
        arguments: without the program's name; None for those that Python was started with.
        default: what the options are where they are not given; None for the dataclass's own.

    Raises:
        ConfigError: an option is unknown, lacks its value or has a bad one.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            # FlagCreatePairsOff: --bidirectional has no twin called --no-bidirectional.
            options: Options = tyro.cli(
                kind,
                prog=program,
                args=arguments,
                default=kind() if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
            return options
    except SystemExit as exit:
        if exit.code != BAD_REQUEST:
            raise
        sentence = _first_paragraph(complaint.getvalue())
        # tyro puts this before what the dataclass itself had to say about its values.
        raise ConfigError(sentence.removeprefix(f"Error parsing {kind.__name__}: ")) from None


@contextlib.contextmanager
def clean_exit(program: str) -> Iterator[None]:
    """End a command with one line on stderr, and no traceback, where its user is to act.

    Exit status 2 where an argument, a file or a folder cannot be used, 130 after Ctrl-C, 143 after
    SIGTERM, 1 where another process of the run has ended. Any other exception is a defect of the
    program and keeps its traceback.
    """
    try:
        yield
    except KeyboardInterrupt:
        _leave(f"{program}: interrupted", INTERRUPTED)
    except Stopped as stopped:
        # All processes of a run stop together; one says so.
        line = f"{program}: {stopped}" if os.environ.get("RANK", "0") == "0" else ""
        _leave(line, SIGNALLED + stopped.signal)
    except LostProcessError as error:
        _leave(f"{program}: error: {error}", BROKEN_OFF)
    except RuntimeError as error:
        if not is_lost_connection(error):
            raise
        _leave(f"{program}: error: {LostProcessError()}", BROKEN_OFF)
    except ValueError as error:
        if not _is_refusal(error):
            raise
        _leave(f"{program}: error: {error}", BAD_REQUEST)


def _is_refusal(error: ValueError) -> bool:
    """Whether the message is for the user, as it stands."""
    if isinstance(error, ConfigError):
        return True
    # The others can only have been raised once these were imported, and torch with them.
    from sequenced_mnist import DataError
    from shared_interface import ImplementationError

    return isinstance(error, DataError | ImplementationError)


def _leave(line: str, status: int) -> None:
    if line:
        print(line, file=sys.stderr)
    raise SystemExit(status)


def _first_paragraph(box: str) -> str:
    """What tyro says in its box, below the title and up to a rule or a blank line, in one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    below_title = [line.strip("│ ") for line in plain.splitlines()[1:]]
    # Without UTF-8 tyro draws a rule below the title too, and no sides.
    said = dropwhile(_is_rule, below_title)
    return " ".join(takewhile(lambda line: not _is_rule(line), said))


def _is_rule(line: str) -> bool:
    return not line.strip("─-")
