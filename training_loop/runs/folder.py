"""Create, lock and resume run folders. run.py describes their content."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryFile

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout

from command_line.errors import ConfigError
from command_line.files import sync_folder, write_errors_as_config_errors
from command_line.shell import shell_join
from training_loop.config import ResolvedConfig
from training_loop.runs import checkpoint

RUNS = Path("runs")
MODEL = "model.safetensors"
"""File of the final weights. A run is finished if it exists and no checkpoint does: the checkpoints
are deleted last."""
LOCK = ".lock"


@contextmanager
def new_folder(requested: Path | None, name: str) -> Iterator[Path]:
    """Create and lock a run folder. It is removed again if the run ends without a file in it.

    Args:
        requested: the folder, new or empty; None for a new one in ``runs/``.
        name: name of a folder in ``runs/``, after date and time.

    Raises:
        ConfigError: the folder contains files, or cannot be created or written.
    """
    with write_errors_as_config_errors("run_dir", requested or RUNS):
        folder = _create(requested) if requested else _create_in_runs(name)
        with TemporaryFile(dir=folder):
            pass  # fail now, not after the training, if the folder is not writable
    try:
        with _locked(folder):
            yield folder
    except BaseException:
        with suppress(OSError):  # the folder may have been removed or replaced meanwhile
            if not _files_in(folder):
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
        raise


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """The locked folder of an interrupted run.

    Raises:
        ConfigError: the folder does not exist, is in use, or its run is finished.
    """
    if not folder.is_dir():
        raise ConfigError(f"resume is {folder}: no such folder; give the folder of a run")
    with _locked(folder):
        if (folder / MODEL).exists() and not checkpoint.exists(folder):
            raise ConfigError(
                f"resume is {folder}: the run is finished; evaluate it with --evaluate {folder}"
            )
        yield folder


@contextmanager
def open_folder(
    config: ResolvedConfig, name: str, resume: bool, accelerator: Accelerator
) -> Iterator[Path]:
    """The run's folder, new or resumed. The main process opens it and broadcasts its path.

    Raises:
        ConfigError: see ``new_folder`` and ``unfinished_folder``.
    """
    with ExitStack() as stack:
        paths: list[Path | None] = [None]
        if accelerator.is_main_process:
            if resume:
                assert config.run_dir is not None
                paths[0] = stack.enter_context(unfinished_folder(config.run_dir))
            else:
                paths[0] = stack.enter_context(new_folder(config.run_dir, name))
        (folder,) = broadcast_object_list(paths)
        yield folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The system releases it when the process ends, even by SIGKILL."""
    lock = FileLock(folder / LOCK, blocking=False)
    with write_errors_as_config_errors("run_dir", folder):
        try:
            lock.acquire()
        except Timeout:
            raise ConfigError(
                f"run_dir is {folder}: another run is using it; give a new folder, or wait"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != LOCK]


def _make_folder(folder: Path, exist_ok: bool = True) -> None:
    """Create a folder and its missing parents, all of them on the disk (fsync)."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=exist_ok)
    for path in missing:
        sync_folder(path.parent)


def _create(folder: Path) -> Path:
    _make_folder(folder)
    if checkpoint.exists(folder):
        with _locked(folder):
            pass  # raises if another run is using it
        raise ConfigError(
            f"run_dir is {folder}: it contains an unfinished run; "
            f"give a new folder, or resume the run with --resume {shell_join([str(folder)])}"
        )
    if _files_in(folder):
        raise ConfigError(f"run_dir is {folder}: it contains files; give a new folder")
    return folder


def _create_in_runs(name: str) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = RUNS / f"{now}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    for candidate in chain([folder], numbered):
        with suppress(FileExistsError):  # another run has started in the same second
            _make_folder(candidate, exist_ok=False)
            break
    return candidate
