"""Convert images to sequences: one row, one column or one pixel per time step.

| sequence | time step t of an image | (time, features) of 28 x 28 pixels |
|----------|--------------------|--------------------------------|
| rows     | row t, from the top     | (28, 28) |
| columns  | column t, from the left | (28, 28) |
| pixels   | pixel t, row by row     | (784, 1) |
| permuted | pixel order[t], one fixed random order for every image | (784, 1) |

The last two are the long-sequence tasks of Le, Jaitly & Hinton (2015), "A Simple Way to Initialize
Recurrent Networks of Rectified Linear Units".
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

# Grey levels 0 to 255 are divided by this and become values from 0 to 2. Most pixels are background
# (0). With values from 0 to 1, the root mean square of MNIST's pixels would be about 1/3; the range
# to 2 brings it nearer to 1.
PIXEL_SCALE = 127.5
PERMUTATION_SEED = 28  # arbitrary; a change would make results on permuted pixels incomparable


def to_sequences(images: Tensor, sequence: str) -> Tensor:
    """Convert images to sequences.

    Args:
        images: (batch, height, width) uint8.
        sequence: ``rows``, ``columns``, ``pixels`` or ``permuted``.

    Returns:
        (batch, time, features) float32 from 0 (background) to 2 (ink), contiguous, on the device
        of the images.

    Raises:
        ValueError: ``sequence`` has another value.
    """
    steps = _reader(sequence)(images)
    return steps.to(torch.float32, memory_format=torch.contiguous_format).div_(PIXEL_SCALE)


def sequence_shape(height: int, width: int, sequence: str) -> tuple[int, int]:
    """Return (time, features) of the sequence of an image of height x width pixels."""
    time, features = _reader(sequence)(torch.empty(1, height, width)).shape[1:]
    return time, features


@cache
def pixel_order(num_pixels: int) -> Tensor:
    """Return the fixed pixel order of ``permuted``: (num_pixels,) int64 on the CPU."""
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
