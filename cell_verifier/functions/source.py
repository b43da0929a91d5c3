"""What the source of a user's function shows: the keys of its dictionaries, and its library."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch


def parts_of_container(function: Callable[..., Any], name: str) -> tuple[str, list[str]] | None:
    """How a function takes its argument ``name`` apart, and the names of the parts.

    Returns:
        ``key`` for ``name["Wx"]``, ``unpack`` for ``Wx, Wh, b = name``, ``attribute`` for
        ``name.Wx``; None if it does none of these.
    """
    tree = _tree(function)
    if tree is None:
        return None
    for kind, find in (("key", _keys), ("unpack", _unpacked), ("attribute", _attributes)):
        found = list(dict.fromkeys(find(tree, name)))
        if found:
            return kind, found
    return None


def _tree(function: Callable[..., Any]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None


def _keys(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_name(node.value, name):
            key = node.slice
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value


def _unpacked(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_name(node.value, name):
            target = node.targets[0]
            if isinstance(target, ast.Tuple | ast.List):
                yield from (each.id for each in target.elts if isinstance(each, ast.Name))


def _attributes(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and _is_name(node.value, name)):
            continue
        if not (hasattr(np.ndarray, node.attr) or hasattr(torch.Tensor, node.attr)):
            yield node.attr


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def uses_numpy(function: Callable[..., Any]) -> bool:
    """Whether a function computes with NumPy: by the names that it and its callees use."""
    found = _library(function, set())
    if not found:
        found = {_library_of(value) for value in getattr(function, "__globals__", {}).values()}
    return "torch" not in found and "numpy" in found


def _library(function: Any, seen: set[Any]) -> set[str]:
    code = getattr(function, "__code__", None)
    if code is None or code in seen:
        return set()
    seen.add(code)
    found = set()
    for value in _referenced(function, code):
        found.add(_library_of(value))
        found |= _library(value, seen)
    return found - {""}


def _referenced(function: Any, code: Any) -> Iterator[Any]:
    names = set(code.co_names)
    for constant in code.co_consts:  # functions inside
        names |= set(getattr(constant, "co_names", ()))
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it has no value yet
            continue


def _library_of(value: Any) -> str:
    if isinstance(value, np.ufunc):
        return "numpy"
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    base = str(name or "").partition(".")[0]
    return base if base in ("numpy", "torch") else ""
