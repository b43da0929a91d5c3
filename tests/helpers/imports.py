"""Which module imports which, read from the source without importing anything."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported module.

    Attributes:
        importer: dotted name of the module with the import statement.
        imported: dotted name of a module of the project.
        line: line number of the statement in the importer's file.
    """

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported} (line {self.line})"


def module_files(root: Path) -> dict[str, Path]:
    """Dotted name -> file, for every Python file below ``root`` outside hidden folders."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if not any(part.startswith(".") or part == "build" for part in parts):
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(root: Path) -> list[Import]:
    """Every import of a module below ``root`` by another.

    Imports inside functions and under ``if TYPE_CHECKING:`` count too: they connect two modules
    for a reader just as the others do.
    """
    files = module_files(root)
    return [
        found
        for name, path in files.items()
        for found in _imports_in(name, path, files)
        if found.imported != name
    ]


def _imports_in(name: str, path: Path, files: Iterable[str]) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = _targets_of(node, package, files)
        else:
            continue
        for target in targets:
            if target in files:
                yield Import(name, target, node.lineno)


def _targets_of(node: ast.ImportFrom, package: str, files: Iterable[str]) -> list[str]:
    """``from a import b`` names the module a.b if there is one, and a otherwise."""
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *([base] if base else [])])
    named = [f"{base}.{alias.name}" for alias in node.names]
    return sorted({module if module in files else base for module in named})


def find_cycles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The groups of modules that import one another, each sorted by name.

    These are the strongly connected components with more than one module (Tarjan, 1972).
    """
    graph: dict[str, set[str]] = {}
    for start, end in edges:
        graph.setdefault(start, set()).add(end)
        graph.setdefault(end, set())
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    cycles: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in order:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], order[target])
        if low[name] == order[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                cycles.append(sorted(component))

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return cycles
