"""Errors that commands report to their user in one line, and errors of users' code in one line.

An exception class with an attribute ``exit_status`` is a message for the user: ``clean_exit``
prints it without a traceback and ends the program with that status. Any other exception is a
defect of the program and keeps its traceback.
"""

import sys
import traceback
from functools import cache
from pathlib import Path
from signal import SIGINT

ROOT = Path(__file__).resolve().parents[1]
USAGE_ERROR = 2
"""Exit status if an argument, a file or a folder cannot be used. It is tyro's, too."""

PACKAGES = {"sklearn": "scikit-learn"}
"""The modules that have another name than the package that contains them."""

CALLERS = ("command_line", "cell_verifier", "shared_interface", "training_loop")
"""Packages of this project that call the user's code; no error is located in them."""


class ConfigError(Exception):
    """An argument, a file or a folder cannot be used.

    The message is one line: the option, its value, the rule and the remedy.
    """

    exit_status = USAGE_ERROR


class Stopped(BaseException):
    """A signal (Ctrl-C or SIGTERM) stopped the program.

    Derives from BaseException, like KeyboardInterrupt: ``except Exception`` must not catch it.

    Attributes:
        signal: SIGINT or SIGTERM.
        remedy: what was saved and how to resume; may be empty.
    """

    def __init__(self, signal: int, remedy: str = "") -> None:
        super().__init__(signal, remedy)
        self.signal = signal
        self.remedy = remedy

    @property
    def exit_status(self) -> int:
        """128 plus the signal's number, as shells report it."""
        return 128 + self.signal

    def __str__(self) -> str:
        what = "interrupted" if self.signal == SIGINT else "terminated"
        return f"{what}; {self.remedy}" if self.remedy else what


class LostProcessError(Exception):
    """Another process of a distributed run has ended, so this process cannot continue.

    The argument, if given, is what was saved and how to resume.
    """

    exit_status = 1

    def __str__(self) -> str:
        return "; ".join(["another process of the run has ended", *map(str, self.args)])


def is_lost_connection(error: BaseException) -> bool:
    """True if a collective operation failed because another process of the run has ended.

    NCCL raises torch.distributed.DistError or a subclass of it. gloo raises a plain RuntimeError
    whose message begins with the path of gloo's source file.
    """
    if not isinstance(error, RuntimeError):
        return False
    return type(error).__name__.startswith("Dist") or "/gloo/" in str(error)


def missing_package(error: ModuleNotFoundError) -> str:
    """What to do about a package that is not installed; empty if the module is this project's."""
    module = (error.name or "").partition(".")[0]
    if not module or (ROOT / module).is_dir():
        return ""
    package = PACKAGES.get(module, module)
    return (
        f"the package {package} is missing: install it with "
        f"{sys.executable} -m pip install {package}, or everything with make"
    )


class OutputError(ConfigError):
    """The standard output cannot be written: its reader has ended, or its disk is full."""


def printable(text: object) -> str:
    """The text of a name or a message with escapes for what would not be shown as one line.

    Line breaks and other control characters, and bytes of a file name that are not UTF-8, become
    escapes such as ``\\n``. Without them, a name could look like another line of the output.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(text)
    )


def one_line(error: object) -> str:
    """The message of an error on one line: every run of white space becomes one space."""
    try:
        text = str(error)
    except Exception as failure:  # an exception class of the user's code
        text = f"no message: its __str__ raises {type(failure).__name__}"
    return printable(" ".join(text.split()))


def type_and_message(error: BaseException) -> str:
    """``TypeError: forward() takes ...``, on one line."""
    message = one_line(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def own_line(error: BaseException) -> str:
    """An error of the user's code with its location: ``my_cell.py:12: RuntimeError: ...``."""
    place = own_place(error)
    return f"{place}: {type_and_message(error)}" if place else type_and_message(error)


def own_place(error: BaseException) -> str:
    """The deepest line of the traceback that is not in a library: ``my_cell.py:12``, or ``""``."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = own_frames(error)
    return f"{Path(frames[-1][0]).name}:{frames[-1][1]}" if frames else ""


def own_frames(error: BaseException) -> list[tuple[str, int]]:
    """File and line of each frame of the traceback that is in no library, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return [
        (frame.filename, frame.lineno or 0) for frame in frames if is_users_file(frame.filename)
    ]


@cache
def is_users_file(filename: str) -> bool:
    """Whether a file is the user's: not a library's, and not of a package that calls it."""
    if "site-packages" in filename or "/lib/python" in filename or filename.startswith("<"):
        return False
    return not any(Path(filename).is_relative_to(ROOT / package) for package in CALLERS)
