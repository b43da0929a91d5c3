"""A run's folder: made or taken up again, kept from other runs, its files written whole.

What lies in it is told in run.py.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryFile

from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]
from filelock import FileLock, Timeout

from command_line.errors import ConfigError
from command_line.files import write_errors_as_config_errors
from training_loop.config import SettledConfig
from training_loop.runs import checkpoint

RUNS = Path("runs")
WEIGHTS = "model.safetensors"
"""Written last: a run's folder that has it is finished."""
LOCK = ".lock"


@contextmanager
def new_folder(asked: Path | None, name: str) -> Iterator[Path]:
    """Make a run's folder, and keep other runs out of it.

    A run that breaks off and has left nothing in the folder takes it away again.

    Args:
        asked: the folder, new or empty; None for a new one in ``runs/``.
        name: what a folder in ``runs/`` is called, after the time.

    Raises:
        ConfigError: the folder holds files already, cannot be made, or cannot be written into.
    """
    with refusing(asked or RUNS):
        folder = _take(asked) if asked else _make_new(name)
        with TemporaryFile(dir=folder):
            pass  # it can be written into: better known now than after the training
    try:
        with _kept_for_this_run(folder):
            yield folder
    except BaseException:
        if not _files_in(folder):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
        raise


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """The folder of a run that broke off, kept from other runs while it is resumed.

    Raises:
        ConfigError: there is no such folder, it is in use, or its run is finished.
    """
    if not folder.is_dir():
        raise ConfigError(f"resume is {folder}: there is no such folder; expected a run's")
    with _kept_for_this_run(folder):
        if (folder / WEIGHTS).exists():
            raise ConfigError(
                f"resume is {folder}: the run is finished; expected one that broke off, "
                f"evaluate it with --evaluate {folder}"
            )
        yield folder


@contextmanager
def open_folder(
    config: SettledConfig, name: str, resume: bool, accelerator: Accelerator
) -> Iterator[Path]:
    """A run's folder, new or resumed, opened by the first process; the others are told its name.

    Raises:
        ConfigError: as :func:`new_folder` and :func:`unfinished_folder` have it.
    """
    with ExitStack() as stack:
        told: list[Path | None] = [None]
        if accelerator.is_main_process:
            if resume:
                assert config.run_dir is not None
                told[0] = stack.enter_context(unfinished_folder(config.run_dir))
            else:
                told[0] = stack.enter_context(new_folder(config.run_dir, name))
        (folder,) = broadcast_object_list(told)
        yield folder


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line for the user.

    Raises:
        ConfigError: something in the folder cannot be read or written.
    """
    with write_errors_as_config_errors("run_dir", folder):
        yield


@contextmanager
def _kept_for_this_run(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go when the process ends, however it ends."""
    lock = FileLock(folder / LOCK, blocking=False)
    with refusing(folder):
        try:
            lock.acquire()
        except Timeout:
            raise ConfigError(
                f"run_dir is {folder}: another run is at work in it; name a new folder, or wait"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != LOCK]


def _take(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / checkpoint.CURRENT).exists():
        with _kept_for_this_run(folder):
            pass  # nobody is at work in it
        raise ConfigError(
            f"run_dir is {folder}: it holds a run that broke off; "
            f"name a new folder, or go on with --resume {folder}"
        )
    if _files_in(folder):
        raise ConfigError(f"run_dir is {folder}: it holds files already; name a new folder")
    return folder


def _make_new(name: str) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = RUNS / f"{now}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"
    twins = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    for candidate in chain([folder], twins):
        with suppress(FileExistsError):  # another run began within the same second
            candidate.mkdir(parents=True)
            break
    return candidate
