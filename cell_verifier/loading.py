"""``FILE.py:NAME`` or ``package.module:NAME`` -> the user's class or function."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from cell_verifier.errors import CannotCheckError, own_line


def load_subject(target: str) -> Callable[..., Any]:
    """Import the file as Python would run it, its folder first on the path, and take the name.

    Raises:
        CannotCheckError: no such file, module or name; or the user's own error as it is imported.
    """
    source, colon, name = target.rpartition(":")
    if not colon or not source or not name:
        raise CannotCheckError(f"{target!r} names no class: expected FILE.py:NAME")
    module = _from_file(Path(source)) if source.endswith(".py") else _by_name(source)
    if not hasattr(module, name):
        defined = [
            key for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        ]  # fmt: skip
        raise CannotCheckError(
            f"{source} has no {name!r}: it defines {', '.join(defined) or 'nothing to call'}"
        )
    found = getattr(module, name)
    if not callable(found):
        raise CannotCheckError(f"{target} is a {type(found).__name__}: name a class or a function")
    made: Callable[..., Any] = found
    return made


def _by_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise CannotCheckError(f"cannot import {name}: {own_line(error)}") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise CannotCheckError(f"{path} is no file: give the path of a Python file")
    name = f"verified_{path.stem}"  # hides no module that is called as the file is
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None  # a path that ends in .py has a spec with a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise CannotCheckError(f"cannot import {path}: {own_line(error)}") from error
    return module
