"""Which of the errors that the user's code raised under many calling conventions to report."""

from collections.abc import Sequence

from torch import nn

from command_line.errors import own_frames


def most_telling_error(module: nn.Module, errors: Sequence[Exception]) -> Exception | None:
    """The error of the user's code that most likely is not caused by the way of calling.

    A name that does not exist is wrong however the module is called. Otherwise the call that raised
    at the latest line got furthest.
    """
    own = [error for error in errors if own_frames(error)]
    missing = [error for error in own if is_missing_name(module, error)]
    furthest = max(own, key=_lines, default=None)
    return missing[0] if missing else furthest


def _lines(error: Exception) -> list[int]:
    """The lines of the user's code in the traceback, outermost first."""
    return [line for _, line in own_frames(error)]


def is_missing_name(module: nn.Module, error: Exception) -> bool:
    """Whether a variable, or an attribute of one of the module's own parts, does not exist."""
    if isinstance(error, NameError):
        return True
    classes = {type(part).__name__ for part in module.modules()}
    return isinstance(error, AttributeError) and any(f"'{name}'" in str(error) for name in classes)
