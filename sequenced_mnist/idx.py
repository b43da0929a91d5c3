"""IDX, the file format that MNIST came in: a header that says what follows, then the bytes.

    offset 0   0x00 0x00 0x08 D      unsigned bytes in D dimensions
    offset 4   D big-endian uint32   the size of each dimension
    then       one byte an element, the last dimension running fastest

torchvision reads such a file without comparing header and length, so a damaged one ends in an
error about something else, or in none. Here every byte is accounted for before any is used.
"""

import gzip
import math
import os
import zlib
from pathlib import Path

import torch
from torch import Tensor

REMEDY = "delete it, and the next run downloads it afresh"


class DataError(ValueError):
    """A data set that cannot be had; its message is one line with the file and the remedy."""

    exit_status = 2


def locate(path: Path) -> Path | None:
    """The file itself; ``path`` + ``.gz`` if only that is there; None if neither is."""
    compressed = path.with_name(f"{path.name}.gz")
    # os.path.exists, unlike Path.exists, is False for a folder that may not be looked into.
    return next((file for file in (path, compressed) if os.path.exists(file)), None)


def read_images(path: Path, height: int, width: int) -> Tensor:
    """The images in an IDX file, which may be compressed if it is called ``.gz``.

    Returns:
        (n, height, width) uint8, n at least 1.

    Raises:
        DataError: unreadable, no IDX file, truncated, too long, empty, or of another size.
    """
    images = _read_idx(path, dimensions=3)
    if images.shape[1:] != (height, width):
        found = " x ".join(map(str, images.shape[1:]))
        raise DataError(f"{path} holds images of {found}, not {height} x {width}: {REMEDY}")
    return images


def read_labels(path: Path, count: int, num_classes: int) -> Tensor:
    """The labels of ``count`` images in an IDX file, which may be compressed as above.

    Returns:
        (count,) int64, each from 0 to num_classes - 1.

    Raises:
        DataError: as for :func:`read_images`; also another count, or a label that is no class.
    """
    labels = _read_idx(path, dimensions=1).long()
    if len(labels) != count:
        raise DataError(f"{path} holds {len(labels)} labels for {count} images: {REMEDY}")
    if labels.max() >= num_classes:
        raise DataError(
            f"{path} holds label {labels.max()}, but classes end at {num_classes - 1}: {REMEDY}"
        )
    return labels


def _read_idx(path: Path, dimensions: int) -> Tensor:
    content = _content(path)
    magic, body = content[:4], 4 + 4 * dimensions
    expected_magic = bytes([0, 0, 8, dimensions])
    if magic != expected_magic:
        raise DataError(
            f"{path} is no IDX file of unsigned bytes in {dimensions} dimension(s) "
            f"(starts with {magic.hex() or 'nothing'}, not {expected_magic.hex()}): {REMEDY}"
        )
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, body, 4)]
    expected_length = body + math.prod(shape)
    if len(content) != expected_length:
        fault = "truncated" if len(content) < expected_length else "too long"
        raise DataError(
            f"{path} is {fault}: {len(content)} bytes, and its header says "
            f"{expected_length}: {REMEDY}"
        )
    if 0 in shape:
        raise DataError(f"{path} is empty: {REMEDY}")
    # A bytearray, because a tensor must be writable; frombuffer copies nothing more.
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=body).view(shape)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path} ({reason}): {REMEDY}") from error
