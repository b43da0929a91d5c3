"""Run the functions of a file and record the value of every statement, with its line.

The file's syntax tree is rewritten: the value of each assignment, ``append``, ``return`` and loop
variable passes through a probe, which records it and can replace it. Line numbers stay those of
the file.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from exercises.checking.comparison import gradients_of
from exercises.checking.partial_sums import with_partial_sums

PROBE = "__probe__"


@dataclass(frozen=True)
class Site:
    """A place in a file whose value is recorded.

    Attributes:
        function: the name of the function that contains it.
        name: the variable that receives the value; ``return``, ``if`` or ``outputs.append``.
        line, end_line: the statement's lines, counted from 1.
        source: the statement's first line.
        expression: the expression that is evaluated, or None for the variable of a loop.
    """

    function: str
    name: str
    line: int
    end_line: int
    source: str
    expression: ast.expr | None = field(default=None, compare=False, hash=False)

    @property
    def is_loop(self) -> bool:
        return self.source.startswith("for ")

    @property
    def is_element(self) -> bool:
        """Whether the value is assigned to an element of a variable."""
        return self.name.endswith("[...]")

    @property
    def called(self) -> set[str]:
        """The names of the functions that the expression calls."""
        calls = [
            each for each in ast.walk(self.expression or ast.Pass()) if isinstance(each, ast.Call)
        ]
        return {ast.unparse(each.func).rpartition(".")[2] for each in calls}

    @property
    def variable(self) -> tuple[str, str]:
        """The function and the name."""
        return self.function, self.name

    @property
    def statement(self) -> tuple[str, str, str]:
        """The same for the same code in the same function, wherever it is in the file."""
        code = self.source if self.expression is None else ast.unparse(self.expression)
        return self.function, self.name, code


@dataclass
class Event:
    """One value of one site.

    Attributes:
        value: a detached copy.
        gradients: of the value with respect to the inputs; empty if they are not compared.
        versions: counts the in-place changes of the inputs so far.
    """

    site: Site
    value: Any
    gradients: list[torch.Tensor]
    versions: int


Replacements = Mapping[Site, Sequence[Any]]
"""The values that replace those of a site, one for each time that it runs."""


@dataclass
class Recording:
    """One run of the functions of a file.

    Attributes:
        events: all values in the order of execution.
        output: what the run returned; None if it raised.
        gradients: of the output, like those of an event.
        error: the exception that it raised, if any.
    """

    events: list[Event] = field(default_factory=list)
    output: Any = None
    gradients: list[torch.Tensor] = field(default_factory=list)
    error: Exception | None = None

    def by_site(self) -> dict[Site, list[Event]]:
        """The events of each site, the sites in the order of their first event."""
        sites: dict[Site, list[Event]] = {}
        for event in self.events:
            sites.setdefault(event.site, []).append(event)
        return sites


class ProbedFile:
    """A file whose functions run with probes.

    Args:
        module: the module loaded from the file.
        without: functions that get no probes, because their code is given.
        partial_sums: whether the partial sums of its equations are recorded too.
    """

    def __init__(
        self,
        module: ModuleType,
        without: frozenset[str] = frozenset(),
        partial_sums: bool = False,
    ) -> None:
        self.path = Path(str(module.__file__))
        self.text = self.path.read_text(encoding="utf-8-sig")
        transformer = _Transformer(self.text.splitlines(), without)
        tree = ast.parse(self.text)
        tree = transformer.visit(with_partial_sums(tree) if partial_sums else tree)
        tree = ast.fix_missing_locations(tree)
        self.sites = transformer.sites
        self.module = ModuleType(module.__name__)
        self.module.__file__ = str(self.path)
        setattr(self.module, PROBE, self._probe)
        self._recording = Recording()
        self._replacements: Replacements = {}
        self._inputs: tuple[torch.Tensor, ...] = ()
        self._leaves: list[torch.Tensor] = []
        self._counts: dict[Site, int] = {}
        exec(compile(tree, str(self.path), "exec"), vars(self.module))

    def record(
        self,
        run: Callable[[ModuleType], Any],
        inputs: Sequence[torch.Tensor] = (),
        replacements: Replacements | None = None,
        gradients: bool = False,
    ) -> Recording:
        """Call ``run`` with the module; the values of some sites may be replaced.

        Args:
            inputs: tensors that the run must not change.
            gradients: whether to compute the gradient of every value with respect to the inputs.
        """
        self._recording, self._replacements = Recording(), replacements or {}
        self._inputs, self._counts = tuple(inputs), dict.fromkeys(self._replacements, 0)
        self._leaves = [each for each in inputs if gradients and each.requires_grad]
        try:
            self._recording.output = run(self.module)
            self._recording.gradients = gradients_of(self._recording.output, self._leaves)
        except NotImplementedError:
            raise
        except Exception as error:  # any error of the learner's code
            self._recording.error = error
        return self._recording

    def _probe(self, index: int, value: Any) -> Any:
        site = self.sites[index]
        if site in self._replacements:
            count, values = self._counts[site], self._replacements[site]
            self._counts[site] += 1
            # A copy: the code may change the value in place.
            value = copied(values[count]) if count < len(values) else value
        versions = sum(each._version for each in self._inputs)
        gradients = gradients_of(value, self._leaves)
        self._recording.events.append(Event(site, copied(value), gradients, versions))
        return value


def copied(value: Any) -> Any:
    """A value with its tensors detached and copied, through tuples and lists."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return tuple(copied(part) for part in value if isinstance(part, torch.Tensor))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(copied, value))
    if type(value) in (tuple, list):
        return type(value)(map(copied, value))
    return value


def functions_of(text: str) -> dict[str, str]:
    """The code of every function and method of a file, without docstrings and comments."""
    found = {}
    for qualified, node in _functions(ast.parse(text), ""):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        found[qualified] = ast.unparse(node.args) + "".join(map(ast.unparse, body))
    return found


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield prefix + child.name, child
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


class _Transformer(ast.NodeTransformer):
    """Adds the probes; ``sites`` lists the places in the order of the file."""

    def __init__(self, lines: list[str], without: frozenset[str]) -> None:
        self.lines, self.without = lines, without
        self.sites: list[Site] = []
        self.scope: list[str] = []
        self.in_function = False

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.scope.append(node.name)
        self.generic_visit(node)
        self.scope.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.scope.append(node.name)
        outside, self.in_function = self.in_function, True
        if ".".join(self.scope) not in self.without:
            node.body = [each for part in node.body for each in self._statements(part)]
        self.scope.pop()
        self.in_function = outside
        return node

    def _statements(self, node: ast.stmt) -> list[ast.stmt]:
        visited: ast.stmt = self.visit(node)
        names = self._names_to_probe_after(node)
        return [visited, *(self._after(node, name) for name in names)]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, old in ast.iter_fields(node):
            if self.in_function and name in ("body", "orelse", "finalbody"):
                if isinstance(old, list):
                    setattr(node, name, [each for part in old for each in self._statements(part)])
            elif isinstance(old, list):
                setattr(node, name, [self.visit(x) if isinstance(x, ast.AST) else x for x in old])
            elif isinstance(old, ast.AST):
                setattr(node, name, self.visit(old))
        return node

    @staticmethod
    def _names_to_probe_after(node: ast.stmt) -> list[str]:
        if isinstance(node, ast.AugAssign):
            return _names_in(node.target)
        if isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name):
            return _names_in(node.targets[0])
        return []

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        if self.in_function and isinstance(target, ast.Name):
            node.value = self._call(node, target.id, node.value)
        if self.in_function and isinstance(target, ast.Subscript):
            node.value = self._call(node, f"{ast.unparse(target.value)}[...]", node.value)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self.in_function and node.value is not None and isinstance(node.target, ast.Name):
            node.value = self._call(node, node.target.id, node.value)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is not None:
            node.value = self._call(node, "return", node.value)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        if self.in_function:
            node.test = self._call(node, "if", node.test)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        if self.in_function and isinstance(call, ast.Call) and call.args:
            function = call.func
            if isinstance(function, ast.Attribute) and function.attr in ("append", "insert"):
                call.args[-1] = self._call(node, ast.unparse(function), call.args[-1])
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        if self.in_function:
            targets = [each for each in ast.walk(node.target) if isinstance(each, ast.Name)]
            node.body[:0] = [self._after(node, each.id) for each in targets]
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def _site(self, node: ast.stmt, name: str, expression: ast.expr | None) -> ast.Constant:
        is_loop = isinstance(node, ast.For | ast.If)
        end = node.lineno if is_loop else (node.end_lineno or node.lineno)
        source = self.lines[node.lineno - 1].strip()
        function = ".".join(self.scope)
        self.sites.append(Site(function, name, node.lineno, end, source, expression))
        return ast.Constant(len(self.sites) - 1)

    def _call(self, node: ast.stmt, name: str, value: ast.expr) -> ast.expr:
        index = self._site(node, name, ast.parse(ast.unparse(value), mode="eval").body)
        call = ast.Call(ast.Name(PROBE, ast.Load()), [index, value], [])
        return ast.copy_location(call, value)

    def _after(self, node: ast.stmt, name: str) -> ast.stmt:
        """The statement ``name = __probe__(index, name)``."""
        expression = getattr(node, "value", None) if isinstance(node, ast.Assign) else None
        index = self._site(node, name, expression)
        call = ast.Call(ast.Name(PROBE, ast.Load()), [index, ast.Name(name, ast.Load())], [])
        assign = ast.Assign([ast.Name(name, ast.Store())], call)
        return ast.fix_missing_locations(ast.copy_location(assign, node))


def _names_in(target: ast.expr) -> list[str]:
    """The variables that an assignment changes: ``a, b = ...``, ``a[t] = ...``."""
    match target:
        case ast.Name(name):
            return [name]
        case ast.Subscript(ast.Name(name)):
            return [name]
        case ast.Tuple(elements) | ast.List(elements):
            return [name for each in elements for name in _names_in(each)]
    return []
