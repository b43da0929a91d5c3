"""The statement of a line in the user's file."""

import ast
import linecache
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType


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


@lru_cache(maxsize=8)
def _parsed(text: str) -> ast.Module | None:
    """The syntax tree; None for text that does not parse, such as a notebook's magic command."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def statement_at(file: str, line: int) -> Statement:
    """The innermost statement that contains a line; of a loop or condition, its header only."""
    lines = lines_of(file)
    tree = _parsed("".join(lines))
    if tree is None:
        return Statement(line, line, "".join(lines[line - 1 : line]).strip())
    if any(line in _decorator_lines(node) for node in ast.walk(tree)):
        return Statement(line, line, lines[line - 1].strip())
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


def _decorator_lines(node: ast.AST) -> list[int]:
    return (
        [each.lineno for each in node.decorator_list] if isinstance(node, ast.FunctionDef) else []
    )


def appending_line(file: str, line: int, code: CodeType | None = None, instruction: int = 0) -> int:
    """The line that fills a list which the statement at ``line`` stacks or concatenates.

    The same line if the list is filled on several lines, or if there is no such list. With the
    instruction that is executed, only the lists in its own call count.
    """
    node: ast.AST | None = statement_at(file, line).node
    function = function_at(file, line)
    if node is None or function is None:
        return line
    node = (code and _call_at(node, code, instruction)) or node
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    filled = [line for node in ast.walk(function) for line in _filling_line(node, names)]
    return filled[0] if len(filled) == 1 else line


def _call_at(node: ast.AST, code: CodeType, instruction: int) -> ast.AST | None:
    """The call in a statement that an instruction executes."""
    places = list(code.co_positions())
    if not 0 <= instruction // 2 < len(places):
        return None
    place = places[instruction // 2]
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            here = (each.lineno, each.end_lineno, each.col_offset, each.end_col_offset)
            if here == place:
                return each
    return None


def _filling_line(node: ast.AST, names: set[str]) -> list[int]:
    """The line of ``a.append(b)``, ``a += [b]``, ``a = a + [b]`` or ``a[k] = b``."""
    return [node.lineno] if isinstance(node, ast.stmt | ast.expr) and _fills(node, names) else []


def _fills(node: ast.stmt | ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("append", "insert") and _is_one_of(node.func.value, names)
    if isinstance(node, ast.AugAssign):
        return isinstance(node.value, ast.List | ast.Tuple) and _is_one_of(node.target, names)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        return _is_one_of(node.targets[0].value, names)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
        if not isinstance(node.value.op, ast.Add):
            return False
        sides = (node.value.left, node.value.right)
        listed = any(isinstance(side, ast.List | ast.Tuple) for side in sides)
        return listed and _is_one_of(node.targets[0], names)
    return False


def _is_one_of(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def copying_line(file: str, line: int, element: int) -> int:
    """The line of ``a = b`` where the statement at ``line`` assigns ``b``, or 0.

    Args:
        element: which of its names is ``b``, if it assigns several.
    """
    names = assigned_names(file, line)
    function = function_at(file, line)
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
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return ()
    targets = _parts(node.targets[0] if isinstance(node, ast.Assign) else node.target)
    return tuple(each.id if isinstance(each, ast.Name) else "" for each in targets)


def function_at(file: str, line: int) -> ast.FunctionDef | None:
    """The innermost function that contains a line."""
    tree = _parsed("".join(lines_of(file)))
    if tree is None:
        return None
    containing = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(containing, key=lambda each: each.lineno, default=None)


def parameters_of(function: ast.FunctionDef) -> tuple[str, ...]:
    """The names of a function's parameters."""
    a = function.args
    return tuple(each.arg for each in (*a.posonlyargs, *a.args, *a.kwonlyargs))


def binding_lines(function: ast.FunctionDef, name: str, line: int) -> list[int]:
    """The lines that can have given a variable its value at ``line``, the nearest first.

    Empty for a parameter. A line after ``line`` counts if both are in the same loop.
    """
    loops = [node for node in ast.walk(function) if isinstance(node, ast.For | ast.While)]
    around = [each for each in loops if each.lineno <= line <= (each.end_lineno or 0)]
    ends = [line - 1, *((each.end_lineno or 0) for each in around)]
    found = [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
    ]
    before = sorted((each for each in found if each < line), reverse=True)
    return [*before, *(each for each in found if line <= each <= max(ends))]


def has_unused_names(function: ast.FunctionDef) -> bool:
    """Whether a parameter or variable of the function is never read."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    read = {node.id for node in names if not isinstance(node.ctx, ast.Store)}
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    given = set(parameters_of(function)[:1]) & {"self"}
    return bool({n for n in {*bound, *parameters_of(function)} - read - given if n.strip("_")})


def unpacking_line(function: ast.FunctionDef, names: set[str]) -> int:
    """The first line in a function that takes one of ``names`` apart, or that of the function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List):
            read = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
            if read & names:
                return node.lineno
    return function.lineno


def exchanges_names(statement: ast.stmt, parameters: Sequence[str]) -> bool:
    """Whether a call passes a variable for a parameter although another one has its name.

    For example ``self.cell(x, c, h)`` for ``forward(self, x, h, c)``.
    """
    for call in ast.walk(statement):
        if isinstance(call, ast.Call):
            names = [each.id if isinstance(each, ast.Name) else "" for each in call.args]
            pairs = zip(names, parameters, strict=False)
            if any(given != wanted and given in parameters for given, wanted in pairs):
                return True
    return False


def line_without_gradients(file: str, line: int) -> int:
    """The line of the ``with torch.no_grad()`` or of the decorator around ``line``, or ``line``."""
    tree = _parsed("".join(lines_of(file)))
    around: list[int] = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.With) and node.lineno <= line <= (node.end_lineno or 0):
            marks = [item.context_expr for item in node.items]
        elif isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0):
            marks = node.decorator_list
        else:
            continue
        around += [each.lineno for each in marks if _disables_gradients(each)]
    return max(around, default=line)


def _disables_gradients(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return any(name in text for name in ("no_grad", "inference_mode", "set_grad_enabled"))
