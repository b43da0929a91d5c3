"""What goes wrong in the user's own code, in one line with their own error and their own line."""

import traceback
from pathlib import Path

HERE = str(Path(__file__).parent)


class CannotCheckError(Exception):
    """There is no verdict to be had; the message says why, what was tried, and what to do."""


def one_line(error: BaseException) -> str:
    """``TypeError: forward() takes ...``, on one line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def own_line(error: BaseException) -> str:
    """``my_cell.py:12: RuntimeError: ...``: the deepest line outside libraries, and the error."""
    where = own_place(error)
    return f"{where}: {one_line(error)}" if where else one_line(error)


def own_place(error: BaseException) -> str:
    """The deepest place in the traceback that is the user's own: ``my_cell.py:12``, or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_own(frame.filename):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""


def _is_own(filename: str) -> bool:
    library = "site-packages" in filename or "/lib/python" in filename or filename.startswith("<")
    return not library and not filename.startswith(HERE)
