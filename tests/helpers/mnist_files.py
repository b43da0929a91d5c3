"""Small files of random images in MNIST's format and folder layout."""

from pathlib import Path

import torch
from torch import Tensor

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


def idx(content: Tensor) -> bytes:
    """The bytes of an IDX file that contains ``content``, uint8 of any shape."""
    sizes = b"".join(size.to_bytes(4, "big") for size in content.shape)
    return bytes([0, 0, 8, content.dim()]) + sizes + bytes(content.flatten().tolist())


def random_images(train: int = 30, test: int = 12, seed: int = 0) -> dict[str, Tensor]:
    """The content of the four files: random images, and labels 0, 1, ..., 9, 0, 1, ..."""
    generator = torch.Generator().manual_seed(seed)

    def images(count: int) -> Tensor:
        return torch.randint(256, (count, 28, 28), generator=generator).to(torch.uint8)

    def labels(count: int) -> Tensor:
        return (torch.arange(count) % 10).to(torch.uint8)

    return {
        TRAIN_IMAGES: images(train),
        TRAIN_LABELS: labels(train),
        TEST_IMAGES: images(test),
        TEST_LABELS: labels(test),
    }


def write_mnist(data_dir: Path, kind: str = "MNIST") -> Path:
    """Write ``random_images`` where torchvision expects them; return the files' folder."""
    raw = data_dir / kind / "raw"
    raw.mkdir(parents=True)
    for name, content in random_images().items():
        (raw / name).write_bytes(idx(content))
    return raw
