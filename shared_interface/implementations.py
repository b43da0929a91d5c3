"""Map the option ``--implementation`` to the class that it names, as ``package.module:Class``."""

import shlex

LAYER_NAMES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
PACKAGES = {"scratch": "scratch_cells", "builtin": "builtin_models"}


class ImplementationError(ValueError):
    """An ``--implementation`` that cannot be used; the message is one line with the remedy."""

    exit_status = 2


def implementation_target(implementation: str, cell: str = "lstm") -> str:
    """The class that an ``--implementation`` option names, as a target to be imported.

    Args:
        implementation: ``scratch`` or ``builtin`` for this project's own class of kind ``cell``;
            ``FILE.py:CLASS`` or ``package.module:CLASS`` for any other class, returned unchanged.
        cell: ``rnn``, ``gru`` or ``lstm``.

    Returns:
        ``FILE.py:CLASS`` or ``package.module:CLASS``, e.g. ``scratch_cells:LSTM``.

    Raises:
        ImplementationError: the implementation or the cell is not one of these.
    """
    if ":" in implementation:
        return implementation
    if implementation not in PACKAGES:
        raise ImplementationError(
            f"implementation is {implementation!r}: "
            "expected scratch, builtin, FILE.py:CLASS or package.module:CLASS"
        )
    if cell not in LAYER_NAMES:
        raise ImplementationError(f"cell is {cell!r}: expected one of {', '.join(LAYER_NAMES)}")
    return f"{PACKAGES[implementation]}:{LAYER_NAMES[cell]}"


def is_own_code(implementation: str) -> bool:
    """True if an implementation is a class of the user, whose file or module has to be executed."""
    return implementation not in PACKAGES


def require_given(implementation: str, folder: object, given: bool) -> None:
    """Check that code named by a run's folder is executed only if the command line names it too.

    A folder may be from another person. What it contains is data, but its configuration can name
    any Python file or module.

    Args:
        implementation: from the configuration in the folder.
        folder: the run's folder.
        given: whether the command line has ``--implementation``.

    Raises:
        ImplementationError: the code would be executed although the user did not name it.
    """
    if is_own_code(implementation) and not given:
        raise ImplementationError(
            f"{folder} was trained with {implementation}, which would be executed: "
            f"if you trust it, add --implementation {shlex.quote(implementation)}"
        )
