"""Atomic file writing: a reader sees the old content or the new content, never a part of it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from command_line.errors import ConfigError


@contextmanager
def atomic_write(path: Path, previous: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a temporary file in the folder of ``path``; rename it to ``path`` on success.

    If the ``with`` block raises, the temporary file is deleted and ``path`` is unchanged. The new
    content and its name are on the disk (fsync of file and folder) before the function returns, and
    the content before the old content is given up. A new file has the usual permissions (umask), a
    replaced file keeps its own. A symbolic link is followed; a pipe or a device, such as
    ``/dev/stdout``, cannot be replaced and is written to directly.

    Args:
        path: the file to create or replace.
        previous: the file that keeps the old content, if any; None to discard the old content.

    Yields:
        The temporary file, open for writing bytes.

    Raises:
        OSError: the file cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    if path.is_symlink():  # a link to itself cannot be followed
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    # The process id keeps two processes that write the same file apart. A name may have 255 bytes.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)  # of a killed process with the same id
        with temporary.open("xb") as file:  # x: a link that was put there is not followed
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous is not None:
            with suppress(FileNotFoundError):  # there is no old content yet
                os.replace(path, previous)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, so that a new or renamed file survives a power cut.

    No effect on systems that cannot open a folder, and on file systems that cannot sync one.
    """
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


@contextmanager
def write_errors_as_config_errors(option: str, path: Path) -> Iterator[None]:
    """Turn an OSError into one line that names the option and its value.

    Args:
        option: the option that names the file or folder.
        path: the file or folder that is written.

    Raises:
        ConfigError: the ``with`` block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{option} is {path}: cannot write there ({reason})") from error
