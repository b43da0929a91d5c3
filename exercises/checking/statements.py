"""Compare a function of the learner's file with the solution's."""

import inspect
from collections.abc import Callable

from torch import Generator

from exercises.checking.attempt import Attempt, Failure
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
    _check_order_of_arguments(attempt, name)
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


def _check_order_of_arguments(attempt: Attempt, name: str) -> None:
    """Raise ``Failure`` if a function has the exercise's arguments in another order."""
    function = attempt.get(name)
    if not inspect.isfunction(function):
        return
    ours = list(inspect.signature(function).parameters)
    theirs = list(inspect.signature(getattr(attempt.solution, name)).parameters)
    if ours != theirs and sorted(ours) == sorted(theirs):
        raise Failure(
            f"{name} has the arguments {', '.join(ours)}: expected the order {', '.join(theirs)}"
        )
