"""The check of a mistake hunt. The learner has to find the wrong line, so it is not named."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Generator, Tensor

from exercises.checking.attempt import Attempt, Failure
from exercises.checking.comparison import same_values
from exercises.checking.search import Search
from exercises.checking.statements import check_call
from exercises.exercise import find_exercise

Named = Mapping[str, Tensor]
"""What a layer returns, by the name that the message uses."""


def check_hunt(
    attempt: Attempt,
    call: Callable[..., Named],
    draw: Callable[[Generator], tuple[Any, ...]],
    name: str,
    draw_one_step: Callable[[Generator], tuple[Any, ...]] | None = None,
) -> None:
    """Compare a layer with a mistake in it with the right one.

    Args:
        call: receives the module and the drawn arguments; returns named tensors.
        draw: random arguments.
        name: of the class.
        draw_one_step: random arguments with a single time step; the message describes it too.

    Raises:
        Failure: it is still wrong. The line is named only if the learner has written it; a line
            that was given is described by what agrees and what differs.
    """
    attempt.get(name)
    try:
        check_call(attempt, call, draw, name)
    except Failure as failure:
        given, right = _mistake_of(attempt)
        lines = attempt.file.read_text(encoding="utf-8-sig").splitlines()
        code = [line.partition("  #")[0].rstrip() for line in lines]
        pairs = zip(lines, code, strict=True)
        corrected = [right if written == given else line for line, written in pairs]
        if corrected == lines:
            raise  # the line is the learner's own
        _check_corrected(attempt, "\n".join(corrected), call, draw, name)
        message = f"compared with the right layer, {_describe(attempt, call, draw, name)}"
        if draw_one_step is not None:
            message += f"; in a single step {_describe(attempt, call, draw_one_step, name)}"
        raise Failure(message) from failure


def _mistake_of(attempt: Attempt) -> tuple[str, str]:
    """The wrong line of the exercise and the right one."""
    template = find_exercise(attempt.solution.__name__.rpartition(".")[2]).template
    pairs = [
        (given, right.partition("  # ")[0])
        for region in template.regions
        for given, right in zip(region.given, region.solution, strict=True)
    ]
    return next(pair for pair in pairs if pair[0] != pair[1])


def _check_corrected(
    attempt: Attempt,
    text: str,
    call: Callable[..., Named],
    draw: Callable[[Generator], tuple[Any, ...]],
    name: str,
) -> None:
    """Check the learner's file without the given mistake: another one in it is the learner's own.

    Raises:
        Failure: with the line of that mistake.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / attempt.file.name
        path.write_text(text, encoding="utf-8")
        module = ModuleType(attempt.module.__name__)
        module.__file__ = str(path)
        exec(compile(text, str(path), "exec"), vars(module))
        check_call(replace(attempt, module=module), call, draw, name)


def _describe(
    attempt: Attempt,
    call: Callable[..., Named],
    draw: Callable[[Generator], tuple[Any, ...]],
    name: str,
) -> str:
    """Which of the returned values agree, and from which time step on the others differ."""
    search = Search(attempt, call, draw(attempt.generator()), name, gradients=True)
    observed, right = search.observed, search.right
    if observed.error is not None:
        return f"{type(observed.error).__name__}: {observed.error}"
    agree = [n for n, value in right.output.items() if same_values(observed.output.get(n), value)]
    differ = [name for name in right.output if name not in agree]
    if not differ and same_values(observed.gradients, right.gradients):
        return "every value and every gradient agrees"
    if not differ:
        return "every value agrees, the gradients differ"
    since = _first_step(observed.output, right.output)
    parts = [f"{_listed(agree)} {'agrees' if len(agree) == 1 else 'agree'}"] if agree else []
    parts += [f"{_listed(differ)} {'differs' if len(differ) == 1 else 'differ'}{since}"]
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _first_step(observed: Named, right: Named) -> str:
    """Since when the sequences differ, which have the shape (T, B, ...)."""
    for name, expected in right.items():
        value = observed.get(name)
        is_sequence = expected.dim() == 3 and len(expected) > 1
        if isinstance(value, Tensor) and value.shape == expected.shape and is_sequence:
            for t, (ours, theirs) in enumerate(zip(value, expected, strict=True)):
                if not same_values(ours, theirs):
                    return f" from time step {t} on"
    return ""
