"""Map the option ``--implementation`` to the class that it names, as ``package.module:Class``."""

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
