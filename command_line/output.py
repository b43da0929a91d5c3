"""The standard output of a command: errors of writing it, and text that it cannot encode."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from command_line.errors import OutputError


class CheckedStream:
    """A text stream whose errors are reported as errors of the standard output.

    An OSError alone does not tell which file could not be written. Libraries that print catch some
    OSErrors themselves: rich ends the process where the reader of a pipe has ended.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _output_errors():
            return self._stream.write(text)

    def flush(self) -> None:
        with _output_errors():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def checked_output() -> Iterator[None]:
    """Inside the block, and at its end, an error of the standard output raises OutputError.

    Text that its encoding lacks is written as an escape, such as ``\\u2299``. If the process was
    started with a closed output, what is printed is discarded.

    Raises:
        OutputError: the standard output cannot be written.
    """
    _open_closed_descriptors()
    stream = sys.stdout
    if stream is None:
        yield
        return
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    sys.stdout = checked = CheckedStream(stream)
    failed = False
    try:
        yield
    except BaseException as error:
        failed = not isinstance(error, SystemExit)  # --help, and a command's exit status
        raise
    finally:
        sys.stdout = stream
        try:
            checked.flush()
        except OutputError:
            discard_output(stream)
            if not failed:  # else the first error is the one to report
                raise


def discard_output(stream: TextIO) -> None:
    """Send what is still in the stream's buffer to the null device.

    Python writes the buffer at the exit of the process. A second error there would be printed as a
    traceback and would change the exit status.
    """
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write the output: {reason}") from error


def _open_closed_descriptors() -> None:
    """Open the null device as each closed one of the descriptors 0 to 2.

    Otherwise the next file that is opened has the descriptor of the standard output, and what a
    library or another process prints is written into that file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
