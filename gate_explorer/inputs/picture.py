"""Read a picture of a digit as an image of the data set."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gate_explorer.errors import ExplorerError

MAX_SIDE = 2048  # pixels; a larger picture is scaled down first
MIN_INK = 0.2  # of the largest difference from the ground; less is paper or noise
MNIST_BOX = 20 / 28  # of the image that a digit of MNIST fills; the digits of 8 x 8 fill all rows


def read_picture(file: Path, height: int, width: int) -> Tensor:
    """Read a picture file as one image, with ink on a background of 0.

    The ink may be dark on a bright ground or bright on a dark one: the ground is the median of the
    border. A picture of exactly height x width pixels keeps its pixels. Any other picture is
    centred and scaled as MNIST was: the ink fills 20 of 28 pixels, and its centre of mass is in the
    middle.

    Args:
        file: a picture in any format that Pillow reads.
        height, width: of the image, in pixels.

    Returns:
        (height, width) uint8 on the CPU.

    Raises:
        ExplorerError: the file does not exist or cannot be read as a picture, or it has no ink.
    """
    try:
        with Image.open(file) as opened:
            opened.draft("L", (MAX_SIDE, MAX_SIDE))
            opened.thumbnail((MAX_SIDE, MAX_SIDE))
            grey = np.asarray(_on_white(opened).convert("L"), dtype=np.float32)
    except FileNotFoundError as error:
        raise ExplorerError(f"--image is {file}: there is no such file") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ExplorerError(
            f"--image is {file}: it cannot be read as a picture; give a file such as a PNG or JPEG"
        ) from error
    ink = _ink(grey)
    if not ink.any():
        raise ExplorerError(f"--image is {file}: the picture is blank; give a picture of a digit")
    if ink.shape != (height, width):
        ink = _centred(np.where(ink < MIN_INK, 0, ink), height, width)
    return torch.from_numpy((255 * ink).round().astype(np.uint8))


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture with white where it is transparent."""
    if not picture.has_transparency_data:
        return picture
    rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _ink(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each pixel differs from the ground, from 0 to 1."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(border))
    ink = np.clip(ground - grey if ground > 127.5 else grey - ground, 0, None)
    has_exact_ground = ground in (0, 255)
    largest = 255.0 if has_exact_ground else max(float(ink.max()), 1.0)
    shares: NDArray[np.float32] = (ink / largest).astype(np.float32)
    return shares


def _centred(ink: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    room = round(MNIST_BOX * height) if height > 8 else height
    scale = room / max(bottom - top, right - left)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    box = (float(left), float(top), float(right), float(bottom))
    small = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BOX, box))
    weight = small.sum()
    y = round(height / 2 - float((small.sum(axis=1) @ (np.arange(size[1]) + 0.5)) / weight))
    x = round(width / 2 - float((small.sum(axis=0) @ (np.arange(size[0]) + 0.5)) / weight))
    y, x = (min(max(at, 0), room) for at, room in ((y, height - size[1]), (x, width - size[0])))
    image = np.zeros((height, width), np.float32)
    image[y : y + size[1], x : x + size[0]] = np.clip(small, 0, 1)
    return image
