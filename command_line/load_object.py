"""Load the object that a command line names: ``FILE.py:NAME`` or ``package.module:NAME``."""

import difflib
import importlib
import importlib.util
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from command_line.errors import ConfigError, Stopped, own_line


def load_object(target: str) -> Any:
    """Import a file or a module and return one of the objects that it defines.

    A file is run as ``python FILE.py`` would run it: its imports find the files next to it, also
    those that run later, inside a function. Its module is registered in ``sys.modules`` under a
    name of its own, so that dataclasses and pickle find it and no other module is hidden.

    Args:
        target: ``FILE.py:NAME`` or ``package.module:NAME``.

    Raises:
        ConfigError: the file, the module or the name does not exist, or the import raises; the
            message gives the user's own line.
    """
    source, _, name = target.rpartition(":")
    if not source or not name:
        raise ConfigError(
            f"{target!r} does not name an object: expected FILE.py:NAME or package.module:NAME"
        )
    module = (
        _load_file(Path(source)) if source.endswith((".py", ".ipynb")) else _load_module(source)
    )
    try:
        return getattr(module, name)
    except AttributeError:
        raise ConfigError(f"{source} has no {name!r}: {_suggestion(name, module)}") from None


def _load_module(name: str) -> ModuleType:
    with _errors_of_import(repr(name)):
        return importlib.import_module(name)


def _load_file(path: Path) -> ModuleType:
    if path.suffix == ".ipynb":
        raise ConfigError(
            f"{path} is a notebook: save the class in a Python file, or call the function in the "
            "notebook itself"
        )
    try:
        is_file = path.is_file()
    except OSError as error:  # the name is too long, or a folder cannot be searched
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if not is_file:
        raise ConfigError(f"{path} is not a file: give the path of a Python file")
    path = path.resolve()
    # The checksum keeps files of the same name in different folders apart.
    name = f"{path.stem}_{zlib.crc32(bytes(path)):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a path that ends in .py has a spec and a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _errors_of_import(str(path)), _folder_importable(str(path.parent)):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
    return module


@contextmanager
def _errors_of_import(source: str) -> Iterator[None]:
    """Turn whatever the user's module raises, except Ctrl-C and signals, into a ConfigError."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        raise
    except BaseException as error:
        raise ConfigError(f"cannot import {source}: {own_line(error)}") from error


@contextmanager
def _folder_importable(folder: str) -> Iterator[None]:
    """Put a folder first on ``sys.path``; afterwards last, where it hides no other module."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the file may have changed sys.path itself
            sys.path.remove(folder)
    if folder not in sys.path:
        sys.path.append(folder)


def _suggestion(name: str, module: ModuleType) -> str:
    """The most similar name in the module; or the classes and functions that it defines."""
    if nearest := difflib.get_close_matches(name, dir(module), n=1):
        return f"did you mean {nearest[0]!r}?"
    defined = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    ]
    return f"it defines {', '.join(defined) or 'no class and no function'}"
