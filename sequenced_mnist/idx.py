"""Read IDX, the file format of MNIST: a header with the shape, followed by the elements.

    offset 0   0x00 0x00 0x08 D      the elements are unsigned bytes, in D dimensions
    offset 4   D big-endian uint32   the size of each dimension
    then       one byte per element, in row-major order

torchvision does not compare the header with the file length, so a damaged file gives an unrelated
error or none. Here the header is validated against the file length before the elements are used.
"""

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

MAX_BYTES = 2**30
"""Largest content of a file that is read: MNIST's largest file has 47 MB."""
REMEDY = "delete it, and the next run downloads it again"


class DataError(ValueError):
    """Raised when a data set cannot be loaded; the message is one line with file and remedy."""

    exit_status = 2  # command_line.program.clean_exit prints the message and ends with this status


def locate(path: Path) -> Path | None:
    """Return ``path`` if it exists, else ``path`` + ``.gz`` if that exists, else None."""
    compressed = path.with_name(f"{path.name}.gz")
    # os.path.exists, unlike Path.exists, is False for a directory without read permission.
    return next((file for file in (path, compressed) if os.path.exists(file)), None)


def read_images(path: Path, height: int, width: int) -> Tensor:
    """Read the images of an IDX file. A file whose name ends in ``.gz`` is decompressed.

    Returns:
        (n, height, width) uint8, n at least 1.

    Raises:
        DataError: the file is unreadable, not an IDX file, truncated, too long or empty, or its
            images have another size.
    """
    images = _read_idx(path, dimensions=3)
    if images.shape[1:] != (height, width):
        found = " x ".join(map(str, images.shape[1:]))
        raise DataError(
            f"{path} contains images of {found} pixels, expected {height} x {width}: {REMEDY}"
        )
    return images


def read_labels(path: Path, count: int, num_classes: int) -> Tensor:
    """Read the labels of an IDX file. A file whose name ends in ``.gz`` is decompressed.

    Returns:
        (count,) int64, each from 0 to num_classes - 1.

    Raises:
        DataError: as ``read_images``; also if the number of labels is not ``count`` or a label
            is too large.
    """
    labels = _read_idx(path, dimensions=1).long()
    if len(labels) != count:
        raise DataError(f"{path} contains {len(labels)} labels for {count} images: {REMEDY}")
    if labels.max() >= num_classes:
        raise DataError(
            f"{path} contains label {labels.max()}, expected 0 to {num_classes - 1}: {REMEDY}"
        )
    return labels


def _read_idx(path: Path, dimensions: int) -> Tensor:
    with _opened(path) as file:
        body = 4 + 4 * dimensions
        header = file.read(body)
        expected_magic = bytes([0, 0, 8, dimensions])
        if header[:4] != expected_magic:
            raise DataError(
                f"{path} is not an IDX file of unsigned bytes in {dimensions} dimension(s): its "
                f"first bytes are {header[:4].hex() or 'missing'}, expected "
                f"{expected_magic.hex()}: {REMEDY}"
            )
        shape = [int.from_bytes(header[at : at + 4], "big") for at in range(4, body, 4)]
        expected = body + math.prod(shape)
        if expected > MAX_BYTES:
            raise DataError(
                f"{path} is too large: {expected} bytes according to its header, expected at most "
                f"{MAX_BYTES}: {REMEDY}"
            )
        # One byte more than expected: a longer file, or a small archive of one, is not read whole.
        content = bytearray(header) + file.read(max(0, expected - len(header)) + 1)
    if len(content) != expected:
        fault, length = "truncated", str(len(content))
        if len(content) > expected:
            fault, length = "too long", f"more than {expected}"
        raise DataError(
            f"{path} is {fault}: {length} bytes, expected {expected} according to "
            f"its header: {REMEDY}"
        )
    if 0 in shape:
        raise DataError(f"{path} contains no elements: {REMEDY}")
    # frombuffer shares the memory of the bytearray, which is writable, as a tensor must be.
    return torch.frombuffer(content, dtype=torch.uint8, offset=body).view(shape)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, decompressed if its name ends in ``.gz``.

    Raises:
        DataError: it cannot be opened, read or decompressed, or is not a regular file: a pipe would
            block, and a device may never end.
    """
    compressed = path.suffix == ".gz"
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a folder raises
            raise DataError(f"cannot read {path} (it is not a regular file): {REMEDY}")
        with gzip.open(path) if compressed else path.open("rb") as file:
            yield file  # type: ignore[misc]  # GzipFile is an IO[bytes] in all that is used
    except (OSError, EOFError, zlib.error) as error:
        if compressed and not (isinstance(error, OSError) and error.errno):
            raise DataError(f"cannot decompress {path} ({error}): {REMEDY}") from error
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path} ({reason}): make it readable, or {REMEDY}") from error
