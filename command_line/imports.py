"""Imports of a command: late and fast where torch is needed, interruptible by Ctrl-C, and one line
for a missing package.

This module imports only what is fast to import, so that a command can import it first.
"""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def clean_imports(program: str, module: str = "__main__") -> Iterator[None]:
    """For the first imports of a command: one line for Ctrl-C and for a missing package.

    Args:
        program: name of the command in the message.
        module: ``__name__`` of the file; no effect if it is imported by another program.
    """
    if module != "__main__":
        yield
        return
    try:
        with exit_on_ctrl_c(program):
            yield
    except ModuleNotFoundError as error:
        from command_line.errors import USAGE_ERROR, missing_package

        message = missing_package(error)
        if not message:
            raise
        print(f"{program}: error: {message}", file=sys.stderr, flush=True)
        raise SystemExit(USAGE_ERROR) from None


@contextmanager
def fast_imports(program: str) -> Iterator[None]:
    """For the import of torch: faster, and Ctrl-C ends the process cleanly.

    Args:
        program: name of the command in the message.
    """
    with exit_on_ctrl_c(program), gc_paused():
        yield


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the garbage collector while torch is imported, and exclude torch from it afterwards.

    The import creates hundreds of thousands of objects that stay alive. The collector would
    traverse them again and again, which takes one of the three seconds of the import. No effect if
    torch is already imported.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def exit_on_ctrl_c(program: str) -> Iterator[None]:
    """While modules are imported, Ctrl-C ends the process at once, with exit status 130.

    As an exception, it would be raised inside the module being imported; large packages catch it
    or replace it by another exception. No cleanup is needed at this point: nothing has been
    written yet. This module does not import torch, so that the import of torch is covered too.
    Main thread only.
    """

    def leave(*_: object) -> None:
        try:
            print(f"{program}: interrupted", file=sys.stderr, flush=True)
        finally:  # also if stderr is closed
            os._exit(128 + signal.SIGINT)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def lazy_attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that imports its public names on first use (PEP 562).

    ``python -m package`` imports the package before it runs a line of ``package/__main__.py``. If
    the package imported torch, neither ``--help`` nor Ctrl-C would be answered for seconds.

    Args:
        package: ``__name__`` of the package.
        modules: public name -> name of the package's module that defines it.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return get
