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
import zlib
from pathlib import Path

import torch
from torch import Tensor

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
        DataError: as :func:`read_images`; also if the number of labels is not ``count`` or a label
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
    content = _content(path)
    magic, body = content[:4], 4 + 4 * dimensions
    expected_magic = bytes([0, 0, 8, dimensions])
    if magic != expected_magic:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes in {dimensions} dimension(s): its first "
            f"bytes are {magic.hex() or 'missing'}, expected {expected_magic.hex()}: {REMEDY}"
        )
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, body, 4)]
    expected_length = body + math.prod(shape)
    if len(content) != expected_length:
        fault = "truncated" if len(content) < expected_length else "too long"
        raise DataError(
            f"{path} is {fault}: {len(content)} bytes, expected {expected_length} according to "
            f"its header: {REMEDY}"
        )
    if 0 in shape:
        raise DataError(f"{path} contains no elements: {REMEDY}")
    # A bytearray, because a tensor must be writable. frombuffer shares its memory.
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=body).view(shape)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot read {path} ({reason}): make it readable, or {REMEDY}") from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot decompress {path} ({error}): {REMEDY}") from error
