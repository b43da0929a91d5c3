"""Check a learner's file in this process: load it, run the check, describe what went wrong."""

import ast
import contextlib
import io
import linecache
import re
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch

from cell_verifier.localisation.source import statement_at
from command_line.errors import type_and_message
from exercises.checking.attempt import Attempt, Failure
from exercises.exercise import Entry
from exercises.result import Result, Status
from exercises.template import TODO

MAX_PRINTED = 1000
"""Characters of the learner's output that a result keeps."""


class BoundedText(io.StringIO):
    """A text stream that keeps the first ``MAX_PRINTED`` characters and discards the rest."""

    def write(self, text: str) -> int:
        room = MAX_PRINTED - self.tell()
        if room > 0:
            super().write(text[:room])
            if len(text) > room:
                super().write("\n...")
        return len(text)


def judge(entry: Entry, path: Path, seed: int) -> Result:
    """Check a file against an exercise. The learner's code runs in this process.

    Args:
        entry: the exercise.
        path: the learner's file.
        seed: of the random inputs.
    """
    started = time.perf_counter()
    printed = BoundedText()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        status, failure = _outcome(entry, path, seed)
    failure = failure or Failure("")
    return Result(
        entry.name,
        status,
        failure.message,
        file=str(path),
        line=failure.line,
        source=failure.source or _source_at(path, failure.line),
        computes=failure.computes,
        expected=failure.expected,
        mistake=failure.mistake,
        proved=failure.proved,
        seed=seed,
        seconds=round(time.perf_counter() - started, 3),
        printed=printed.getvalue(),
    )


def _outcome(entry: Entry, path: Path, seed: int) -> tuple[Status, Failure | None]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except FileNotFoundError:
        return "missing", Failure("there is no such file")
    except (OSError, UnicodeDecodeError) as error:
        return "error", Failure(f"the file cannot be read: {type_and_message(error)}")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return "error", _syntax_failure(error)
    if (unwritten := _unwritten(text, tree)) is not None:
        return "unwritten", unwritten
    unchanged = _unchanged(entry, text, tree)
    try:
        with loaded(path, text) as module:
            entry.check()(Attempt(module, entry.solution_module(), seed))
    except Failure as failure:
        if unchanged:
            return "unwritten", Failure(f"{unchanged}; {failure.message}")
        if not entry.template.is_hunt:  # there, the line is left out on purpose
            failure.line = failure.line or _definition_named(failure.message, tree)
        return "failed", failure
    except BaseException as error:  # the learner's code may raise anything, SystemExit included
        return "error", _failure_of(error, path)
    return "passed", None


@contextlib.contextmanager
def loaded(path: Path, text: str) -> Iterator[ModuleType]:
    """Run a file as a new module, which can be found in ``sys.modules`` inside the block."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    sys.path.append(str(path.parent))
    linecache.checkcache(str(path))
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
        yield module
    finally:
        with contextlib.suppress(ValueError):  # the file may have changed sys.path itself
            sys.path.remove(str(path.parent))
        if before is None:
            sys.modules.pop(path.stem, None)
        else:
            sys.modules[path.stem] = before


def _syntax_failure(error: SyntaxError | ValueError) -> Failure:
    if not isinstance(error, SyntaxError):  # a null byte
        return Failure(f"the file is not Python: {error}")
    kind = "indentation" if isinstance(error, IndentationError) else "syntax"
    return Failure(f"{kind} error: {error.msg}", line=error.lineno or 0)


def _unwritten(text: str, tree: ast.Module) -> Failure | None:
    """A failure for the first part that the learner has not written, or None."""
    raising = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node)
    ]
    if raising:
        task = _task_above(text.splitlines(), min(raising))
        return Failure(f"not written yet: {task}" if task else "not written yet", line=min(raising))
    return None


def _unchanged(entry: Entry, text: str, tree: ast.Module) -> str:
    """The task, if the file has the code of the original exercise; else ``""``."""
    template = entry.template
    copy = template.learners_copy()
    if _code(tree) != _code(ast.parse(copy)):
        return ""
    region, lines = template.regions[0], template.lines_to_write()[0]
    # A cell of a notebook has the same code without the explanation above it.
    shift = len(text.rstrip().splitlines()) - len(copy.rstrip().splitlines())
    first, last = lines[0] + shift, lines[-1] + shift
    where = f"lines {first} to {last}" if first < last else f"line {first}"
    return f"not changed yet, {where}: {region.task}"


def _code(tree: ast.Module) -> str:
    """The code of a file without its docstring, comments and layout."""
    docstring = ast.get_docstring(tree) is not None
    return ast.dump(ast.Module(tree.body[docstring:], []))


def _definition_named(message: str, tree: ast.Module) -> int:
    """The line of the first function or class of the file that a message names, or 0."""
    lines = {
        node.name: node.lineno
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    return next((lines[word] for word in re.findall(r"\w+", message) if word in lines), 0)


def _task_above(lines: list[str], number: int) -> str:
    """The text of the TODO comment before a line."""
    comments: list[str] = []
    for line in reversed(lines[: number - 1]):
        stripped = line.strip()
        if stripped.startswith(TODO):
            return " ".join([stripped.removeprefix(TODO).strip(), *reversed(comments)])
        if not stripped.startswith("#"):
            return ""
        comments.append(stripped.removeprefix("#").strip())
    return ""


def _failure_of(error: BaseException, path: Path) -> Failure:
    """The failure for an exception, with the innermost line of the learner's file."""
    lines = [
        frame.lineno or 0
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    if lines:
        return Failure(type_and_message(error), line=lines[-1])
    return Failure(f"the check cannot use what the file defines: {type_and_message(error)}")


def _source_at(path: Path, line: int) -> str:
    """The statement on a line of the learner's file."""
    return statement_at(str(path), line).text if line else ""
