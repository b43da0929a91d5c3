"""Add the partial sums and factors of a solution's equations to its statements.

A learner may compute ``a = W_ih x + b_ih + W_hh h + b_hh`` in several statements. The value of each
of them is then a sum of some of the terms, which the solution's own statements do not have. In the
same way ``t = tanh(c')`` is a factor of ``h' = o ⊙ tanh(c')``.
"""

import ast
import copy
from itertools import combinations

MAX_TERMS = 4
"""Longer sums would have too many partial sums."""

PREFIX = "_sum"
"""The names of the added variables begin with this."""


def with_partial_sums(tree: ast.Module) -> ast.Module:
    """Insert an assignment for each partial sum before the statement that contains the sum."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.For):
            arguments = _arguments(node) if isinstance(node, ast.FunctionDef) else []
            body = [each for part in node.body for each in (*_partial_sums(part), part)]
            node.body = [*arguments, *body]
    return ast.fix_missing_locations(tree)


def _partial_sums(statement: ast.stmt) -> list[ast.stmt]:
    if not isinstance(statement, ast.Assign | ast.Return) or statement.value is None:
        return []
    factors = _factors(statement.value)
    if isinstance(statement, ast.Return) and _is_pure(statement.value):
        factors.append(copy.deepcopy(statement.value))
    found = [_assignment(n, node, statement) for n, node in enumerate(factors)]
    sums = [terms for node in ast.walk(statement.value) if (terms := _terms(node))]
    longest = max(sums, key=len, default=[])
    if not 2 < len(longest) <= MAX_TERMS:
        return found
    for count in range(1, len(longest)):
        for some in combinations(longest, count):
            value = ast.parse(" + ".join(map(ast.unparse, some)), mode="eval").body
            found.append(_assignment(len(found), value, statement))
    return found


def _arguments(function: ast.FunctionDef) -> list[ast.stmt]:
    """An assignment of each argument: a learner's variable may begin as a copy of it."""
    names = [argument.arg for argument in function.args.args if argument.arg != "self"]
    values = [ast.Name(name, ast.Load()) for name in names]
    return [_assignment(n, value, function.body[0]) for n, value in enumerate(values)]


def _assignment(n: int, value: ast.expr, statement: ast.stmt) -> ast.stmt:
    target = ast.Name(f"{PREFIX}_{n}", ast.Store())
    return ast.copy_location(ast.Assign([target], value), statement)


def _factors(value: ast.expr) -> list[ast.expr]:
    """The products and the values of torch's functions in an expression, itself excluded."""
    if any(isinstance(node, ast.comprehension | ast.Lambda) for node in ast.walk(value)):
        return []
    nodes = [node for node in ast.walk(value) if node is not value]
    return [copy.deepcopy(node) for node in nodes if isinstance(node, ast.expr) and _is_pure(node)]


def _is_pure(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(_, ast.Mult() | ast.MatMult() | ast.Pow(), _):
            inner = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
            return all(map(_is_pure, inner))
        case ast.Call(ast.Attribute(ast.Name("torch"), "tanh" | "sigmoid" | "cat" | "stack"), _):
            return True
    return False


def _terms(node: ast.AST) -> list[ast.expr]:
    """The terms of a sum without calls, which could have effects; empty if it is not one."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
        return []
    if any(isinstance(each, ast.Call) for each in ast.walk(node)):
        return []
    terms: list[ast.expr] = []
    for side in (node.left, node.right):
        terms += _terms(side) or [side]
    return terms
