"""Words for a wrong line: how its values differ, which equation belongs there, what it raised."""

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor

from exercises.checking.attempt import Failure
from exercises.checking.comparison import same_values
from exercises.checking.probes import Event, Site
from exercises.checking.symbols import in_symbols

MAX_SHAPES = 6
"""Shapes listed after an exception: those of the names in its line."""


REMEDIES = {
    "Can't call numpy()": "the check computes gradients: use torch's functions instead of NumPy's",
    "a leaf Variable that requires grad": (
        "an argument of the function is changed in place, and the caller still needs it: write "
        "a = a + b instead of a += b"
    ),
    "modified by an inplace operation": (
        "a tensor that its gradient needs has been changed in place: append the values to a list "
        "and use torch.stack, instead of a[t] = ..."
    ),
}
"""What to do, in place of the text of an exception of autograd."""


def difference_between(site: Site, observed: Sequence[Event], right: Sequence[Event]) -> str:
    """How the values of a site differ from the right ones, in one sentence."""
    subject = _subject(site)
    if site.is_loop and len(observed) != len(right):
        return loop_runs(len(observed), len(right))
    for n, (ours, theirs) in enumerate(zip(observed, right, strict=False)):
        where = f" when this line runs for the {_ordinal(n + 1)} time" if len(right) > 1 else ""
        if not same_values(ours.value, theirs.value):
            return f"{subject} {_difference(ours.value, theirs.value)}{where}"
        if not same_values(ours.gradients, theirs.gradients):
            return f"{subject} has the right value, but not the right gradient{where}"
    return f"this line runs {_times(len(observed))}, expected {_times(len(right))}"


def difference_of_output(output: Any, right: Any) -> str:
    """What a function without a wrong statement returns, as the end of a sentence."""
    if output is None:
        return "returns nothing: it has no return statement with a value"
    if same_values(output, right):
        return "returns the right values, but not the right gradients"
    return f"returns {_type(output)}, expected other values"


def loop_runs(count: int, expected: int) -> str:
    """The message for a loop that does not run as often as it should."""
    return f"the loop runs {_times(count)}, expected {_times(expected)}"


def same_equation(one: str, two: str) -> bool:
    """Whether two equations have the same right side: c = f ⊙ c and c' = f ⊙ c."""
    first, second = (each.replace("'", "").partition(" = ")[2] for each in (one, two))
    return bool(first) and first == second


def _subject(site: Site) -> str:
    names = {"return": "the returned value", "if": "the condition"}
    if site.name.endswith((".append", ".insert")):
        return "the appended value"
    return names.get(site.name, site.name)


def _difference(value: Any, right: Any) -> str:
    if isinstance(right, Tensor) and isinstance(value, Tensor):
        if value.shape != right.shape:
            return f"has the shape {tuple(value.shape)}, expected {tuple(right.shape)}"
        if value.dtype != right.dtype:
            return f"has the dtype {value.dtype}, expected {right.dtype}"
        return "has wrong values"
    if isinstance(right, tuple | list) and isinstance(value, tuple | list):
        if len(value) != len(right):
            return f"has {len(value)} parts, expected {len(right)}"
        wrong = [n for n, (a, b) in enumerate(zip(value, right, strict=True)) if a is not b]
        wrong = [n for n in wrong if not same_values(value[n], right[n])]
        if len(wrong) < len(value) or len(value) == 1:
            parts = ", ".join(f"part {n} {_difference(value[n], right[n])}" for n in wrong)
            return f"is wrong: {parts}"
        return "is wrong in every part"
    if isinstance(right, dict) and isinstance(value, dict):
        for key in right:
            if not same_values(value.get(key), right[key]):
                return f"is wrong: {key!r} {_difference(value.get(key), right[key])}"
        return "has other keys"
    if isinstance(right, bool | int | float | str) and isinstance(value, bool | int | float | str):
        return f"is {value!r}, expected {right!r}"
    return f"is {_type(value)}, expected {_type(right)}"


def _type(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _ordinal(n: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(n, f"{n}th")


def computed_at(site: Site) -> str:
    """The learner's statement in the symbols of the equations; "" for a loop."""
    if site.expression is None:
        return ""
    code = ast.unparse(site.expression)
    is_variable = site.name.isidentifier() and site.name not in ("return", "if")
    targets = site.source.partition(" = ")[0]  # several in a statement such as i, f = ...
    return in_symbols(f"{targets} = {code}" if is_variable else code)


def equation_at(text: str, site: Site) -> str:
    """The comment at the end of the solution's statement; it is the equation."""
    lines = text.splitlines()[site.line - 1 : site.end_line]
    comments = [re.split(r"(?<=\S)  # ", line, maxsplit=1)[1:] for line in lines]
    return next((comment[0].strip() for comment in comments if comment), "")


def line_of_definition(text: str, name: str) -> int:
    """The line on which a file defines a function or class, or 0."""
    definitions = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
    )
    return next((node.lineno for node in definitions), 0)


def inputs_changed(site: Site) -> Failure:
    """For a function that changes an argument in place."""
    return Failure(
        "an argument of the function has changed in place: the caller still needs it",
        line=site.line,
        source=site.source,
        expected="a new tensor: a = a + b instead of a += b",
    )


def error_at(error: Exception, path: Path, given: Collection[str] = ()) -> Failure:
    """The line of the learner's file that raised, with the shapes of what it uses.

    Args:
        path: the learner's file.
        given: functions of it that the learner has not written; what calls them is named.
    """
    frames = [
        (frame, line)
        for frame, line in _frames(error)
        if Path(frame.f_code.co_filename) == path and frame.f_code.co_qualname not in given
    ]
    text = str(error).strip().partition("\n")[0]
    text = next((remedy for part, remedy in REMEDIES.items() if part in text), text)
    message = f"raises {type(error).__name__}{': ' + text if text else ''}"
    if not frames:
        return Failure(message)
    frame, line = frames[-1]
    source = path.read_text(encoding="utf-8-sig").splitlines()[line - 1].strip()
    shapes = [
        f"{name} {tuple(value.shape)}"
        for name in _names_in(source)
        if isinstance(value := frame.f_locals.get(name), Tensor)
    ]
    if shapes:
        message += f"; shapes: {', '.join(shapes[:MAX_SHAPES])}"
    return Failure(message, line=line, source=source)


def _frames(error: Exception) -> Iterator[tuple[FrameType, int]]:
    """The frames and lines of a traceback, the innermost last."""
    entry = error.__traceback__
    while entry is not None:
        yield entry.tb_frame, entry.tb_lineno
        entry = entry.tb_next


def _names_in(source: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"[A-Za-z_]\w*", source.partition("#")[0])))
