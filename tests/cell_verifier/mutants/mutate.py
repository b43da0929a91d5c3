"""One-line mutants of right cells: every small mistake that one line of ``forward`` allows."""

import ast
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.cell_verifier.cells.collection import STYLES

MUTATED_STYLES = (
    "lstm_stacked_linear",
    "lstm_torch_names",
    "lstm_gate_linears_joined",
    "lstm_joined_h_first_layer",
    "lstm_loose_right_multiplied",
    "lstm_three_d_einsum",
    "lstm_module_dict",
    "gru_stacked_linear",
    "gru_loose_layer",
    "gru_fused_rz",
    "rnn_linear_pair",
    "rnn_joined_loose",
)
PER_STYLE = 18
"""Mutants drawn of each style; the styles of the plain RNN have fewer."""

GATES = {"i", "f", "g", "o", "r", "z", "n", "h", "c"}
ACTIVATIONS = {"sigmoid": "tanh", "tanh": "sigmoid"}


@dataclass(frozen=True)
class Mutant:
    """A right cell with one line changed.

    Attributes:
        style: the right cell.
        operator: the kind of change.
        line: 1-based first line of the changed statement.
        right, wrong: the statement before and after.
        source: the whole file.
    """

    style: str
    operator: str
    line: int
    right: str
    wrong: str
    source: str

    @property
    def against(self) -> str:
        return self.style.partition("_")[0]


def draw_mutants(style: str, count: int = PER_STYLE) -> list[Mutant]:
    """Mutants of one style, the same ones every time, from as many operators as possible."""
    by_operator: dict[str, list[Mutant]] = {}
    for each in all_mutants(style):
        by_operator.setdefault(each.operator, []).append(each)
    generator = random.Random(style)
    for members in by_operator.values():
        generator.shuffle(members)
    drawn: list[Mutant] = []
    while len(drawn) < count and any(by_operator.values()):
        for members in by_operator.values():
            drawn += [members.pop()] if members else []
    return drawn[:count]


def all_mutants(style: str) -> Iterator[Mutant]:
    """Every mutant of the methods of a style that compute."""
    text = STYLES[style].read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    seen = set()
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef) or function.name in ("__init__", "p"):
            continue
        names = _tensor_names(function)
        for statement in _simple_statements(function):
            right = ast.unparse(statement)
            for operator, mutated in _mutations(statement, names):
                wrong = ast.unparse(mutated)
                if wrong == right or (statement.lineno, wrong) in seen:
                    continue
                seen.add((statement.lineno, wrong))
                indent = " " * statement.col_offset
                assert statement.end_lineno is not None
                after = lines[statement.end_lineno :]
                source = "".join([*lines[: statement.lineno - 1], f"{indent}{wrong}\n", *after])
                yield Mutant(style, operator, statement.lineno, right, wrong, source)


def _simple_statements(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.Return | ast.Expr) and not _is_docstring(node):
            yield node


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _tensor_names(function: ast.FunctionDef) -> set[str]:
    """The variables of the size of a state: gates, states and candidates."""
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    return {
        name
        for name in stored
        if name.lower().rstrip("_t").split("_")[0] in GATES
        or name.endswith("gate")
        or name in ("keep", "write", "expose", "new", "hidden", "cy", "hy")
    }


def _mutations(statement: ast.stmt, names: set[str]) -> Iterator[tuple[str, ast.stmt]]:
    count = sum(1 for _ in ast.walk(statement))
    for index in range(count):
        for choice in range(12):
            mutated = copy.deepcopy(statement)
            node = list(ast.walk(mutated))[index]
            operator = _mutate(node, choice, names, mutated)
            if operator:
                yield operator, mutated


def _mutate(node: ast.AST, choice: int, names: set[str], root: ast.stmt) -> str:
    """Change the node in place; the kind of change, or "" if this choice does not exist."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        others = sorted(names - {node.id})
        if choice < len(others):
            node.id = others[choice]
            return "another variable"
    if isinstance(node, ast.BinOp):
        return _mutate_operator(node, choice, root)
    if isinstance(node, ast.Attribute) and node.attr in ACTIVATIONS and choice < 2:
        node.attr = (ACTIVATIONS[node.attr], "relu")[choice]
        return "another activation"
    if isinstance(node, ast.Call) and _activation(node) and choice == 0:
        inner = node.args[0] if node.args else node.func.value
        _replace(root, node, inner)
        return "no activation"
    if isinstance(node, ast.Attribute) and _is_parameter(node) and choice < 3:
        letters = [k for k in "ifcorzn" if k != node.attr[-1]]
        node.attr = node.attr[:-1] + letters[choice]
        return "another parameter"
    return ""


def _mutate_operator(node: ast.BinOp, choice: int, root: ast.stmt) -> str:
    if choice == 0 and isinstance(node.op, ast.Add | ast.Sub):
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return "plus and minus"
    if choice == 0 and isinstance(node.op, ast.Mult):
        node.op = ast.Add()
        return "sum for product"
    if choice in (1, 2) and isinstance(node.op, ast.Add | ast.Mult | ast.Sub):
        _replace(root, node, (node.left, node.right)[choice - 1])
        return "an operand left out"
    if choice == 3 and isinstance(node.op, ast.Mult):
        node.left = ast.BinOp(ast.Constant(1), ast.Sub(), node.left)
        return "1 - gate"
    if choice == 4 and isinstance(node.op, ast.Add):
        node.right = ast.BinOp(ast.Constant(0.5), ast.Mult(), node.right)
        return "a constant factor"
    return ""


def _activation(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr in ACTIVATIONS


def _is_parameter(node: ast.Attribute) -> bool:
    return (
        isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and len(node.attr) > 2
        and node.attr[-2] == "_"
        and node.attr[-1] in "ifcorzn"
    )


def _replace(root: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(root):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list) and any(each is old for each in value):
                setattr(parent, name, [new if each is old else each for each in value])
