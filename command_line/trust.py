"""Code that a run's folder names is executed only if the command line names it too.

A folder may be from another person. What it contains is data, but its configuration can name any
Python file or module. This module imports no torch, so that the options are checked at once.
"""

from command_line.errors import ConfigError
from command_line.shell import shell_join

PROJECT_IMPLEMENTATIONS = ("scratch", "builtin")
"""Values of ``--implementation`` that name classes of this project."""


def is_own_code(implementation: str) -> bool:
    """True if an implementation is a class of the user, whose file or module has to be executed."""
    return implementation not in PROJECT_IMPLEMENTATIONS


def require_given(implementation: str, folder: object, given: bool) -> None:
    """Check that code named by a run's folder is executed only if the command line names it too.

    Args:
        implementation: from the configuration in the folder.
        folder: the run's folder.
        given: whether the command line has ``--implementation``.

    Raises:
        ConfigError: the code would be executed although the user did not name it.
    """
    if is_own_code(implementation) and not given:
        raise ConfigError(
            f"{folder} was trained with {implementation}, which would be executed: "
            f"if you trust it, add --implementation {shell_join([implementation])}"
        )
