"""What a wrong line computes: the right expression with one thing changed.

The right expression is changed in the ways that learners get wrong: a term or a factor left out,
another sign, an operator, an activation, a transpose, another variable. The change whose value is
the learner's is what the line computes.

Source of the idea: R. Singh, S. Gulwani and A. Solar-Lezama, Automated feedback generation for
introductory programming assignments, PLDI 2013.
"""

import ast
import copy
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from exercises.checking.comparison import same_values
from exercises.checking.probes import Event, Site

MAX_SECONDS = 0.6
MAX_CHANGES = 2
"""Changes made together."""

ACTIVATIONS = ("tanh", "sigmoid", "relu")


def computed_instead(
    site: Site, observed: Sequence[Event], right: Sequence[Event], names: Mapping[str, Any]
) -> str:
    """What the learner's line computes, in the symbols of the equations; "" if unknown.

    Args:
        site: the solution's statement in its place.
        observed, right: the values of both, one for each time that they run.
        names: the functions that the solution's file defines.
    """
    wrong = next(
        (n for n, (a, b) in enumerate(zip(observed, right, strict=False)) if _differ(a, b)), None
    )
    if wrong is None or site.expression is None:
        return ""
    value, scope = observed[wrong].value, right[wrong].scope
    deadline = time.monotonic() + MAX_SECONDS
    environment = {**names, **scope}
    for expression in _changed(site.expression, environment):
        if time.monotonic() > deadline:
            return ""
        found = _evaluate(expression, environment)
        if found is not None and same_values(found, value):
            return pretty(ast.unparse(expression), site.name)
    return ""


def _differ(ours: Event, theirs: Event) -> bool:
    return not same_values(ours.value, theirs.value)


def _evaluate(expression: ast.expr, scope: Mapping[str, Any]) -> Any:
    code = compile(ast.fix_missing_locations(ast.Expression(expression)), "<formula>", "eval")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return eval(code, dict(scope))
        except Exception:  # shapes that do not fit, or a name of the module
            return None


def _changed(expression: ast.expr, scope: Mapping[str, Any]) -> Iterator[ast.expr]:
    """The expression with one change, then with several."""
    seen = set()
    level = [expression]
    for _ in range(MAX_CHANGES):
        following = []
        for each in level:
            for changed in _one_change(each, scope):
                text = ast.unparse(changed)
                if text not in seen:
                    seen.add(text)
                    following.append(changed)
                    yield changed
        level = following


def _one_change(expression: ast.expr, scope: Mapping[str, Any]) -> Iterator[ast.expr]:
    places = [node for node in ast.walk(expression) if isinstance(node, ast.expr)]
    for n, node in enumerate(places):
        for other in _alternatives(node, scope):
            yield _replaced(expression, n, other)


def _replaced(expression: ast.expr, place: int, other: ast.expr) -> ast.expr:
    if place == 0:
        return other
    result = copy.deepcopy(expression)
    nodes = [node for node in ast.walk(result) if isinstance(node, ast.expr)]
    target = nodes[place]
    for parent in ast.walk(result):
        for name, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, name, other)
            elif isinstance(value, list):
                setattr(parent, name, [other if part is target else part for part in value])
    return result


def _alternatives(node: ast.expr, scope: Mapping[str, Any]) -> Iterator[ast.expr]:
    match node:
        case ast.BinOp(left, op, right):
            yield from (left, right)
            for other in _operators(op):
                yield ast.BinOp(left, other, right)
            if isinstance(op, ast.Sub | ast.MatMult):
                yield ast.BinOp(right, op, left)
            if isinstance(left, ast.Name) and isinstance(op, ast.Pow):
                yield left
        case ast.Call(ast.Attribute(ast.Name("torch"), str(function)), [first, *_]):
            if function in ACTIVATIONS:
                yield first
                for other_name in ACTIVATIONS:
                    if other_name != function:
                        yield _torch_call(other_name, first)
            elif function in ("stack", "cat"):
                yield from _other_dim(node)
        case ast.Attribute(value, "T"):
            yield value
        case ast.Name(name) if isinstance(scope.get(name), Tensor):
            yield from (ast.Name(each, ast.Load()) for each in _like(name, scope))
            if scope[name].dim() == 2 and scope[name].shape[0] == scope[name].shape[1]:
                yield ast.Attribute(node, "T", ast.Load())
            yield from (_torch_call(each, node) for each in ACTIVATIONS)
        case ast.Name(name) if isinstance(scope.get(name), int):
            others = (each for each, value in scope.items() if type(value) is int)
            yield from (ast.Name(each, ast.Load()) for each in others if each != name)
            yield ast.BinOp(node, ast.Sub(), ast.Constant(1))
            yield ast.BinOp(node, ast.Add(), ast.Constant(1))
        case ast.Tuple(elements):
            for n in range(len(elements) - 1):
                swapped = list(elements)
                swapped[n : n + 2] = [swapped[n + 1], swapped[n]]
                yield ast.Tuple(swapped, ast.Load())
        case ast.Call(ast.Attribute(_, str(method)), _) if method in ("flip", "transpose"):
            yield node.func.value  # type: ignore[attr-defined]


def _operators(op: ast.operator) -> tuple[ast.operator, ...]:
    match op:
        case ast.Add():
            return ast.Sub(), ast.Mult()
        case ast.Sub():
            return (ast.Add(),)
        case ast.Mult():
            return (ast.Add(),)
    return ()


def _like(name: str, scope: Mapping[str, Any]) -> list[str]:
    """Other tensors in scope with the same shape."""
    shape = scope[name].shape
    return [
        each
        for each, value in scope.items()
        if each != name and isinstance(value, Tensor) and value.shape == shape
    ]


def _torch_call(name: str, argument: ast.expr) -> ast.expr:
    function = ast.Attribute(ast.Name("torch", ast.Load()), name, ast.Load())
    return ast.Call(function, [argument], [])


def _other_dim(node: ast.Call) -> Iterator[ast.expr]:
    for dim in (0, 1, -1):
        yield ast.Call(node.func, [node.args[0]], [ast.keyword("dim", ast.Constant(dim))])


SYMBOLS = (
    (r"\btorch\.sigmoid\(", "σ("),
    (r"\btorch\.(tanh|relu)\(", r"\1("),
    (r" \* ", " ⊙ "),
    (r"\.T\b", "ᵀ"),
    (r"_next\b", "'"),
    (r"\*\* 2", "²"),
)


def pretty(code: str, name: str = "") -> str:
    """Code in the symbols of the equations, with the variable that receives it."""
    text = code if name in ("", "return", "if") or "." in name else f"{name} = {code}"
    for pattern, symbol in SYMBOLS:
        text = re.sub(pattern, symbol, text)
    return text.replace(" ²", "²")
