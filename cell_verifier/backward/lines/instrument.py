"""Copies of the user's functions that pass the value of every expression to an observer.

The observer can return another value in its place. The user's own functions stay as they are.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from command_line.errors import is_users_file

MOVING = {
    *("concatenate", "hstack", "vstack", "column_stack", "stack", "cat", "reshape", "view"),
    *("transpose", "t", "squeeze", "unsqueeze", "expand_dims", "copy", "clone", "contiguous"),
}
"""Functions that compute nothing."""

OBSERVER = "__observe_value__"
"""The name of the observer in the copies: ``observer(site, value) -> value``."""

Observer = Callable[[int, Any], Any]


class NoSourceError(Exception):
    """The source of a function cannot be read."""


@dataclass(frozen=True)
class Site:
    """An expression of the user's code.

    Attributes:
        file: path of the file.
        line: a line of the statement, counted from 1.
        form: ``copy`` for a name or an element, ``return`` for one that is returned,
            ``again`` for a variable after its statement, ``move`` for a call that only joins or
            reshapes, ``constant`` for a number or None, ``order`` for what a loop iterates over, or
            an empty string.
    """

    file: str
    line: int
    form: str = ""


class Copies:
    """Copies of a function and of every user's function that it calls.

    Attributes:
        sites: all expressions, by the number that the observer receives.
        codes: the code objects of the copies.
    """

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.sites: list[Site] = []
        self.codes: set[CodeType] = set()
        self._namespaces: dict[int, dict[str, Any]] = {}
        self._copies: dict[FunctionType, FunctionType] = {}

    def copy_of(self, function: FunctionType) -> FunctionType:
        """The copy of a function; functions of its module that it calls are copied too.

        Raises:
            NoSourceError: its source cannot be read.
        """
        if function in self._copies:
            return self._copies[function]
        code = self._code_of(function)
        namespace = self._namespace_of(function)
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        closure = tuple(cells[name] for name in code.co_freevars)
        copy = FunctionType(code, namespace, function.__name__, function.__defaults__, closure)
        copy.__kwdefaults__ = function.__kwdefaults__
        self._copies[function] = copy
        self.codes.add(code)
        for name, called in list(_called(function)):
            namespace[name] = self.copy_of(called)
        return copy

    def _namespace_of(self, function: FunctionType) -> dict[str, Any]:
        """The globals for the copies of a module's functions."""
        own = function.__globals__
        return self._namespaces.setdefault(id(own), {**own, OBSERVER: self.observer})

    def _code_of(self, function: FunctionType) -> CodeType:
        file = function.__code__.co_filename
        tree = _tree_of(function)
        tree = _Observing(self.sites, file).visit(tree)
        names = function.__code__.co_freevars
        outer = ast.parse(f"def outer({', '.join(names)}):\n    pass")
        outer.body[0].body = [tree]  # type: ignore[attr-defined]  # a function
        compiled = compile(ast.fix_missing_locations(outer), file, "exec")
        return _constant(_constant(compiled, "outer"), function.__name__)


def _constant(code: CodeType, name: str) -> CodeType:
    """The code of a function that is defined inside."""
    return next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name)


def _tree_of(function: FunctionType) -> ast.FunctionDef:
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError) as error:
        raise NoSourceError from error
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef) or definition.name != function.__name__:
        raise NoSourceError
    definition.decorator_list = []
    return ast.increment_lineno(definition, max(first, 1) - 1)


def _called(function: FunctionType) -> Iterator[tuple[str, FunctionType]]:
    """The user's functions that a function uses by a global name."""
    names = set(function.__code__.co_names)
    for constant in function.__code__.co_consts:
        names |= set(getattr(constant, "co_names", ()))
    for name in sorted(names):
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType) and is_users_file(value.__code__.co_filename):
            yield name, value


class _Observing(ast.NodeTransformer):
    """Passes operations, arguments, assigned and returned values to the observer."""

    def __init__(self, sites: list[Site], file: str) -> None:
        self.sites = sites
        self.file = file
        self.line = 0

    def observed(self, node: ast.expr, form: str = "") -> ast.expr:
        """The call of the observer with the value of an expression."""
        self.sites.append(Site(self.file, self.line, form or _form_of(node)))
        number = ast.Constant(len(self.sites) - 1)
        call = ast.Call(ast.Name(OBSERVER, ast.Load()), [number, node], [])
        return ast.copy_location(call, node)

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt):
            self.line = node.lineno
        return super().visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return self.observed(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return self.observed(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.args = [self._whole(each) for each in node.args]
        return self.observed(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        node.value = self.visit(node.value)  # an index stays as it is
        return node

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        node.value = self._parts(self.visit(node.value))
        several = [each for each in node.targets if isinstance(each, ast.Tuple | ast.List)]
        if isinstance(node.value, ast.Tuple | ast.List):
            return [node]
        parts = [part for each in several for part in each.elts]
        return [node, *(self._again(each, node) for each in parts if isinstance(each, ast.Name))]

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        node.value = self._whole(self.visit(node.value))
        return [node, self._again(node.target, node)]

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        if node.value is not None:
            node.value = self._parts(self.visit(node.value), "return")
        return node

    def visit_For(self, node: ast.For) -> ast.stmt:
        node.iter = self.observed(self.visit(node.iter), "order")
        node.body = [new for each in node.body for new in _as_list(self.visit(each))]
        return node

    def _again(self, target: ast.expr, at: ast.stmt) -> ast.stmt:
        """``target = observer(site, target)`` after a statement."""
        read = ast.parse(ast.unparse(target), mode="eval").body
        self.line = at.lineno
        assign = ast.Assign([target], self.observed(ast.copy_location(read, at), "again"))
        return ast.copy_location(assign, at)

    def _parts(self, node: ast.expr, form_of_copy: str = "copy") -> ast.expr:
        """Observe the elements of a tuple, the values of a dictionary, or the whole value."""
        if isinstance(node, ast.Tuple | ast.List):
            node.elts = [self._whole(each, form_of_copy) for each in node.elts]
        elif isinstance(node, ast.Dict):
            node.values = [self._whole(each, form_of_copy) for each in node.values]
        else:
            return self._whole(node, form_of_copy)
        return node

    def _whole(self, node: ast.expr, form_of_copy: str = "copy") -> ast.expr:
        is_observed = isinstance(node, ast.Call) and getattr(node.func, "id", "") == OBSERVER
        if is_observed or isinstance(node, ast.Starred | ast.Lambda | ast.GeneratorExp):
            return node
        form = _form_of(node)
        return self.observed(node, form_of_copy if form == "copy" else form)


def _form_of(node: ast.expr) -> str:
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        return "copy"
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return "move" if name in MOVING else ""
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int | float | None)
    return "constant" if is_number else ""


def _as_list(visited: Any) -> list[ast.stmt]:
    return visited if isinstance(visited, list) else [visited]
