"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from gate_explorer.errors import ExplorerError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file under a temporary name beside ``path``, renamed to it once it is written.

    Raises:
        ExplorerError: ``path`` cannot be written.
    """
    try:
        with NamedTemporaryFile(dir=path.absolute().parent, prefix=".", delete=False) as file:
            try:
                yield file
                file.close()
                os.chmod(file.name, 0o644)  # a temporary file is its owner's alone
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise ExplorerError(f"cannot write {path}: {error.strerror or error}") from error
