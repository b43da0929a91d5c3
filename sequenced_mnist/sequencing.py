"""From images to sequences: a digit read a row, a column or a pixel at a time.

| sequence | step t of an image | 28 x 28 gives (time, features) |
|----------|--------------------|--------------------------------|
| rows     | row t, from the top     | (28, 28) |
| columns  | column t, from the left | (28, 28) |
| pixels   | pixel t, row by row     | (784, 1) |
| permuted | pixel order[t], one fixed random order for every image | (784, 1) |

The last two are the long-memory tasks of Le, Jaitly & Hinton (2015), "A Simple Way to Initialize
Recurrent Networks of Rectified Linear Units".
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

# Ink is 2, not 1: a digit is mostly background, and this brings the root mean square of MNIST's
# pixels, a third of full ink, nearer to one. Background stays 0: an empty row is no input.
HALF = 127.5
PERMUTATION_SEED = 28  # any number would do, as long as it never changes


def to_sequences(images: Tensor, sequence: str) -> Tensor:
    """Images as sequences.

    Args:
        images: (batch, height, width) uint8.
        sequence: ``rows``, ``columns``, ``pixels`` or ``permuted``.

    Returns:
        (batch, time, features) float32 from 0 (background) to 2 (ink), contiguous, on the device
        of the images.

    Raises:
        ValueError: there is no such ``sequence``.
    """
    steps = _reader(sequence)(images)
    return steps.to(torch.float32, memory_format=torch.contiguous_format).div_(HALF)


def sequence_shape(height: int, width: int, sequence: str) -> tuple[int, int]:
    """(time, features) of an image of height x width pixels."""
    time, features = _reader(sequence)(torch.empty(1, height, width)).shape[1:]
    return time, features


@cache
def pixel_order(num_pixels: int) -> Tensor:
    """The fixed order in which ``permuted`` reads the pixels: (num_pixels,) int64, on the CPU."""
    generator = torch.Generator().manual_seed(PERMUTATION_SEED)
    return torch.randperm(num_pixels, generator=generator)


def _rows(images: Tensor) -> Tensor:
    return images


def _columns(images: Tensor) -> Tensor:
    return images.transpose(1, 2)


def _pixels(images: Tensor) -> Tensor:
    return images.flatten(1).unsqueeze(2)


def _permuted(images: Tensor) -> Tensor:
    pixels = _pixels(images)
    return pixels[:, pixel_order(pixels.shape[1]).to(images.device)]


_READERS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": _rows,
    "columns": _columns,
    "pixels": _pixels,
    "permuted": _permuted,
}
SEQUENCES = tuple(_READERS)


def _reader(sequence: str) -> Callable[[Tensor], Tensor]:
    if sequence not in _READERS:
        raise ValueError(f"sequence is {sequence!r}: expected one of {', '.join(SEQUENCES)}")
    return _READERS[sequence]
