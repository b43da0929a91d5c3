"""From a flag to a class: ``scratch``, ``builtin``, ``file.py:Name`` or ``package.module:Name``."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

LAYER_NAMES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
PACKAGES = {"scratch": "scratch_cells", "builtin": "builtin_models"}


class ImplementationError(ValueError):
    """An ``--implementation`` that cannot be had; its message is one line with the remedy."""


def find_implementation(implementation: str, cell: str = "lstm") -> type:
    """The class that an ``--implementation`` flag names, found by import at run time.

    Args:
        implementation: ``scratch`` or ``builtin``, for this project's own class of kind ``cell``;
            ``path/to/file.py:Name`` or ``package.module:Name``, for any class of the user's.
        cell: ``rnn``, ``gru`` or ``lstm``.

    Raises:
        ImplementationError: the flag, the file, the module or the name in it is not to be had.
    """
    if implementation in PACKAGES:
        if cell not in LAYER_NAMES:
            raise ImplementationError(f"cell is {cell!r}: expected one of {', '.join(LAYER_NAMES)}")
        implementation = f"{PACKAGES[implementation]}:{LAYER_NAMES[cell]}"
    source, colon, name = implementation.rpartition(":")
    if not colon or not source or not name:
        raise ImplementationError(
            f"implementation is {implementation!r}: "
            "expected scratch, builtin, path/to/file.py:Name or package.module:Name"
        )
    module = _module_from_file(Path(source)) if source.endswith(".py") else _module(source)
    try:
        found = getattr(module, name)
    except AttributeError:
        raise ImplementationError(
            f"{source} has no {name!r}: name a class that it defines"
        ) from None
    if not isinstance(found, type):
        raise ImplementationError(f"{implementation} is no class: name a class")
    return found


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ImplementationError(f"cannot import {name!r}: {_in_one_line(error)}") from error


def _module_from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ImplementationError(f"{path} is no file: give the path of a Python file")
    name = f"implementation_{path.stem}"  # never hides a module that is called as the file is
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None  # a path that ends in .py has a spec with a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a class's module up by name; and the file's own imports find its
    # neighbours, as they do when Python runs it.
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ImplementationError(f"cannot run {path}: {_in_one_line(error)}") from error
    finally:
        sys.path.pop(0)
    return module


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
