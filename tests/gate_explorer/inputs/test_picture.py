"""A picture of the user's as an image of the data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from command_line.errors import ConfigError
from gate_explorer.arguments import Arguments
from gate_explorer.inputs.picture import read_picture
from gate_explorer.show import show
from tests.gate_explorer.test_command import write_run


def seven(size: tuple[int, int], ink: int, ground: int, thickness: int = 20) -> Image.Image:
    """A seven in the lower right quarter of a picture."""
    picture = Image.new("L", size, ground)
    width, height = size
    points = [
        (0.6 * width, 0.6 * height),
        (0.85 * width, 0.6 * height),
        (0.65 * width, 0.9 * height),
    ]
    ImageDraw.Draw(picture).line(points, fill=ink, width=thickness)
    return picture


def saved(picture: Image.Image, path: Path) -> Path:
    picture.save(path)
    return path


def centre_of_mass(image: torch.Tensor) -> tuple[float, float]:
    weights = image.double() / image.sum()
    at = torch.arange(image.shape[0]) + 0.5
    return float((weights.sum(1) * at).sum()), float((weights.sum(0) * at).sum())


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0), (30, 215), (220, 60)])
@pytest.mark.parametrize("size", [(400, 300), (300, 700)])
def test_a_picture_is_centred_and_scaled_as_mnist(
    ink: int, ground: int, size: tuple[int, int], tmp_path: Path
) -> None:
    image = read_picture(saved(seven(size, ink, ground), tmp_path / "seven.png"), 28, 28)
    assert (image.shape, image.dtype) == ((28, 28), torch.uint8)
    rows, columns = image.any(dim=1).nonzero(), image.any(dim=0).nonzero()
    box = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    assert max(box) == 20
    for position in centre_of_mass(image):
        assert abs(position - 14) <= 0.5
    assert image.max() > 200
    assert image[0].max() == 0


def test_any_format_gives_the_same_image(tmp_path: Path) -> None:
    picture = seven((400, 400), 0, 255)
    expected = read_picture(saved(picture, tmp_path / "a.png"), 28, 28)
    transparent = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    transparent.putalpha(Image.fromarray(255 - np.asarray(picture)))
    for path, other in (
        (tmp_path / "a.bmp", picture),
        (tmp_path / "a.gif", picture),
        (tmp_path / "rgb.png", picture.convert("RGB")),
        (tmp_path / "transparent.png", transparent),
    ):
        assert torch.equal(read_picture(saved(other, path), 28, 28), expected)
    jpeg = read_picture(saved(picture, tmp_path / "a.jpg"), 28, 28)
    assert (jpeg.int() - expected.int()).abs().max() < 40


def test_a_picture_of_the_models_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = torch.randint(256, (28, 28), dtype=torch.uint8)
    pixels[[0, -1]] = 0
    path = saved(Image.fromarray(pixels.numpy()), tmp_path / "image.png")
    assert torch.equal(read_picture(path, 28, 28), pixels)
    inverted = saved(Image.fromarray(255 - pixels.numpy()), tmp_path / "inverted.png")
    assert torch.equal(read_picture(inverted, 28, 28), pixels)


def test_the_command_shows_a_picture(tmp_path: Path, capsys: Any) -> None:
    run = write_run(tmp_path / "run")
    picture = saved(seven((200, 200), 0, 255), tmp_path / "my seven.png")
    show(Arguments(run=run, image=picture))
    page = (run / "explorer-my seven.html").read_text(encoding="utf-8")
    assert "my seven.png" in page
    assert "Correct class" not in page
    assert capsys.readouterr().out.startswith("my seven.png -> ")


def test_pictures_that_cannot_be_used_give_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "text.png").write_text("no picture")
    blank = saved(Image.new("L", (50, 50), 255), tmp_path / "blank.png")
    cut = tmp_path / "cut.png"
    cut.write_bytes(saved(seven((99, 99), 0, 255), tmp_path / "whole.png").read_bytes()[:80])
    wrong = {
        tmp_path / "text.png": "it cannot be read as a picture",
        tmp_path / "none.png": "there is no such file",
        tmp_path: "it cannot be read as a picture",
        cut: "it cannot be read as a picture",
        blank: "the picture is blank",
    }
    for path, message in wrong.items():
        with pytest.raises(ConfigError) as caught:
            show(Arguments(run=run, image=path))
        assert str(caught.value).startswith(f"--image is {path}: {message}")
    with pytest.raises(ConfigError, match=r"--png is .*: it would replace the picture of --image"):
        Arguments(run=run, image=blank, png=blank)
    with pytest.raises(ConfigError, match="give only one"):
        show(Arguments(run=run, image=blank, wrong=True))
