"""Files in MNIST's format and layout, a few images each, made up by a seed."""

from pathlib import Path

import torch
from torch import Tensor

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


def idx(content: Tensor) -> bytes:
    """An IDX file that holds ``content``, any shape, uint8."""
    sizes = b"".join(size.to_bytes(4, "big") for size in content.shape)
    return bytes([0, 0, 8, content.dim()]) + sizes + bytes(content.flatten().tolist())


def made_up(train: int = 30, test: int = 12, seed: int = 0) -> dict[str, Tensor]:
    """What the four files shall hold: random images, labels 0, 1, ... 9, 0, 1, ..."""
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
    """Lay :func:`made_up` out in ``data_dir`` as torchvision does; the folder of the files."""
    raw = data_dir / kind / "raw"
    raw.mkdir(parents=True)
    for name, content in made_up().items():
        (raw / name).write_bytes(idx(content))
    return raw
