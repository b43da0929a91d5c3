"""Compare a function of the learner's file with the solution's."""

from collections.abc import Callable

from torch import Generator

from exercises.checking.attempt import Attempt
from exercises.checking.search import Arguments, Call, Search

SEEDS = 3
"""Random inputs that a right answer must pass."""


def check_function(
    attempt: Attempt,
    name: str,
    draw: Callable[[Generator], Arguments],
    *,
    gradients: bool = True,
) -> None:
    """Compare one function of the learner's file with the solution's.

    Args:
        name: the function.
        draw: random arguments; tensors of different sizes in every dimension.
        gradients: whether the gradients with respect to the arguments are compared too.

    Raises:
        Failure: it differs; with the line, what it computes and what it should compute.
    """
    attempt.get(name)
    check_call(attempt, lambda module, *args: getattr(module, name)(*args), draw, name, gradients)


def check_call(
    attempt: Attempt,
    call: Call,
    draw: Callable[[Generator], Arguments],
    name: str,
    gradients: bool = True,
) -> None:
    """Compare what a call of a module's classes or functions returns with the solution's.

    Args:
        call: receives the module and the drawn arguments, and returns tensors.
        draw, gradients: as in ``check_function``.
        name: of the function, for a message without a line.

    Raises:
        Failure: as in ``check_function``.
    """
    for offset in range(SEEDS):
        arguments = draw(attempt.generator(offset))
        Search(attempt, call, arguments, name, gradients).raise_if_different()
