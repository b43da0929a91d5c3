"""The statement of a line in the user's file."""

import ast
import linecache
from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """A statement: its first and last line, counted from 1, and its text."""

    line: int
    end_line: int
    text: str
    node: ast.stmt | None = None


def lines_of(file: str) -> list[str]:
    """The lines of a file, or of a cell of a notebook; read again if the file has changed."""
    linecache.checkcache(file)
    return linecache.getlines(file)


def statement_at(file: str, line: int) -> Statement:
    """The innermost statement that contains a line; of a loop or condition, its header only."""
    lines = lines_of(file)
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:  # for example a cell of a notebook with a magic command
        return Statement(line, line, "".join(lines[line - 1 : line]).strip())
    containing = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    if not containing:
        return Statement(line, line, "".join(lines[line - 1 : line]).strip())
    node = max(containing, key=lambda each: (each.lineno, -(each.end_lineno or 0)))
    end = node.end_lineno or node.lineno
    body = getattr(node, "body", None)
    if body:
        end = max(node.lineno, body[0].lineno - 1)
    text = "\n".join(each.rstrip() for each in lines[node.lineno - 1 : end])
    return Statement(node.lineno, end, text.strip(), node)


def appending_line(file: str, line: int) -> int:
    """The line that fills a list which the statement at ``line`` stacks or concatenates.

    The same line if the list is filled on several lines, or if there is no such list.
    """
    node = statement_at(file, line).node
    function = _function_at(file, line)
    if node is None or function is None:
        return line
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    filled = [
        call.lineno
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("append", "insert")
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in names
    ]
    return filled[0] if len(filled) == 1 else line


def copying_line(file: str, line: int, element: int) -> int:
    """The line of ``a = b`` where the statement at ``line`` assigns ``b``, or 0.

    Args:
        element: which of its names is ``b``, if it assigns several.
    """
    names = assigned_names(file, line)
    function = _function_at(file, line)
    if function is None or element >= len(names):
        return 0
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and node.lineno > line:
            targets, values = _parts(node.targets[0]), _parts(node.value)
            for target, value in zip(targets, values, strict=False):
                if isinstance(target, ast.Name) and _is_name(value, names[element]):
                    return node.lineno
    return 0


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def assigned_names(file: str, line: int) -> tuple[str, ...]:
    """The names to which the statement at ``line`` assigns; () if it does not assign to names."""
    node = statement_at(file, line).node
    if not isinstance(node, ast.Assign):
        return ()
    targets = _parts(node.targets[0])
    return tuple(each.id if isinstance(each, ast.Name) else "" for each in targets)


def _function_at(file: str, line: int) -> ast.FunctionDef | None:
    try:
        tree = ast.parse("".join(lines_of(file)))
    except SyntaxError:
        return None
    containing = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(containing, key=lambda each: each.lineno, default=None)
