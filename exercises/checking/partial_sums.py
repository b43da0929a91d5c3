"""Add the partial sums of a solution's equations to its statements.

A learner may compute ``a = W_ih x + b_ih + W_hh h + b_hh`` in several statements. The value of each
of them is then a sum of some of the terms, which the solution's own statements do not have.
"""

import ast
from itertools import combinations

MAX_TERMS = 4
"""Longer sums would have too many partial sums."""

PREFIX = "_sum"
"""The names of the added variables begin with this."""


def with_partial_sums(tree: ast.Module) -> ast.Module:
    """Insert an assignment for each partial sum before the statement that contains the sum."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.For):
            node.body = [each for part in node.body for each in (*_partial_sums(part), part)]
    return ast.fix_missing_locations(tree)


def _partial_sums(statement: ast.stmt) -> list[ast.stmt]:
    if not isinstance(statement, ast.Assign | ast.Return) or statement.value is None:
        return []
    sums = [terms for node in ast.walk(statement.value) if (terms := _terms(node))]
    longest = max(sums, key=len, default=[])
    if not 2 < len(longest) <= MAX_TERMS:
        return []
    found: list[ast.stmt] = []
    for count in range(1, len(longest)):
        for some in combinations(longest, count):
            target = ast.Name(f"{PREFIX}_{len(found)}", ast.Store())
            value = ast.parse(" + ".join(map(ast.unparse, some)), mode="eval").body
            found.append(ast.copy_location(ast.Assign([target], value), statement))
    return found


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
