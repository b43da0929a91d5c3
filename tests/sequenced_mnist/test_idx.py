"""sequenced_mnist/idx.py reads what was written, and detects every damaged file."""

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sequenced_mnist.idx import DataError, locate, read_images, read_labels
from tests.helpers.mnist_files import idx

IMAGES = torch.arange(3 * 4 * 5).view(3, 4, 5).to(torch.uint8)
LABELS = torch.tensor([2, 0, 1], dtype=torch.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some-idx-ubyte"


def message_about(path: Path, error: pytest.ExceptionInfo[DataError]) -> str:
    """The message of the error, after checking that it is one line with file and remedy."""
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    assert "delete it" in message
    return message


def compress(path: Path) -> Path:
    compressed = path.with_name(f"{path.name}.gz")
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return compressed


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_what_was_written(path: Path, compressed: bool) -> None:
    def write(content: Tensor) -> Path:
        path.write_bytes(idx(content))
        return compress(path) if compressed else path

    images = read_images(write(IMAGES), 4, 5)
    assert images.dtype == torch.uint8
    assert torch.equal(images, IMAGES)
    images[0] = 0  # the tensor is writable, without a warning from torch
    labels = read_labels(write(LABELS), count=3, num_classes=3)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, LABELS.long())


def test_locate_prefers_the_plain_file(path: Path) -> None:
    assert locate(path) is None
    path.write_bytes(idx(IMAGES))
    compressed = compress(path)
    assert locate(path) == compressed
    path.write_bytes(idx(IMAGES))
    assert locate(path) == path


@given(length=st.integers(0, len(idx(IMAGES)) - 1))
def test_a_file_cut_anywhere_raises(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "images"
    path.write_bytes(idx(IMAGES)[:length])
    with pytest.raises(DataError) as error:
        read_images(path, 4, 5)
    message = message_about(path, error)
    # With a complete header (16 bytes) the length is wrong; with less, the header may be, too.
    assert "truncated" in message or length < 16


@given(bit=st.integers(0, 16 * 8 - 1))
def test_a_header_with_any_bit_flipped_raises(
    tmp_path_factory: pytest.TempPathFactory, bit: int
) -> None:
    content = bytearray(idx(IMAGES))
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.mktemp("flipped") / "images"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_images(path, 4, 5)
    message_about(path, error)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "its first bytes are missing, expected 00000803"),
        (gzip.compress(idx(IMAGES), mtime=0), "its first bytes are 1f8b0800, expected 00000803"),
        (idx(LABELS), "its first bytes are 00000801, expected 00000803"),
        (idx(IMAGES) + b"\0", "too long"),
        (idx(IMAGES[:, :3]), "images of 3 x 5 pixels, expected 4 x 5"),
        (idx(IMAGES.transpose(1, 2)), "images of 5 x 4 pixels, expected 4 x 5"),
        (idx(IMAGES[:0]), "contains no elements"),
    ],
)
def test_damaged_images_raise(path: Path, content: bytes, fault: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_images(path, 4, 5)
    assert fault in message_about(path, error)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (idx(IMAGES), "its first bytes are 00000803, expected 00000801"),
        (idx(LABELS[:2]), "2 labels for 3 images"),
        (idx(torch.tensor([0, 3, 1])), "contains label 3, expected 0 to 2"),
    ],
)
def test_damaged_labels_raise(path: Path, content: bytes, fault: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_labels(path, count=3, num_classes=3)
    assert fault in message_about(path, error)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-9],
        lambda content: content[:20] + bytes([content[20] ^ 0xFF]) + content[21:],
        lambda content: b"plain text",
        lambda content: b"",
    ],
    ids=["truncated", "corrupt", "not gzip", "empty"],
)
def test_damaged_compressed_files_raise(path: Path, damage) -> None:
    path.write_bytes(idx(IMAGES))
    compressed = compress(path)
    compressed.write_bytes(damage(compressed.read_bytes()))
    with pytest.raises(DataError) as error:
        read_images(compressed, 4, 5)
    message_about(compressed, error)


def test_a_file_that_cannot_be_read_raises(path: Path) -> None:
    path.mkdir()
    with pytest.raises(DataError) as error:
        read_images(path, 4, 5)
    assert "Is a directory" in message_about(path, error)


def header(*sizes: int) -> bytes:
    return bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_is_much_too_long_is_not_read_whole(path: Path, compressed: bool) -> None:
    """A small archive of zeros, or a sparse file: it would not fit into memory."""
    content = idx(IMAGES)
    if compressed:
        path = path.with_name(f"{path.name}.gz")
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(content)
            for _ in range(32):
                file.write(bytes(2**20))
    else:
        path.write_bytes(content)
        os.truncate(path, 2**40)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as error:
            read_images(path, 4, 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "too long: more than 76 bytes, expected 76" in message_about(path, error)
    assert peak < 2**20


@pytest.mark.parametrize("sizes", [(2**32 - 1, 28, 28), (1, 2**31, 2**31)])
def test_a_header_with_a_huge_size_raises(path: Path, sizes: tuple[int, ...]) -> None:
    path.write_bytes(header(*sizes))
    with pytest.raises(DataError) as error:
        read_images(path, 28, 28)
    assert "too large" in message_about(path, error)


def test_a_pipe_raises_and_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DataError) as error:
        read_images(path, 4, 5)
    assert "it is not a regular file" in message_about(path, error)
