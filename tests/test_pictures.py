"""training_loop/pictures.py: the file is a picture, and what is drawn is what was measured."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from training_loop.pictures import draw_curve


@pytest.mark.parametrize(
    ("step_losses", "accuracies"),
    [([2.0, 1.0, 0.5, 0.25], [0.5, 0.75]), ([2.0], [0.1]), ([1.0, 0.0], [1.0])],
    ids=["two epochs", "a single step", "a loss of nought"],
)
def test_the_curve_is_a_png_with_something_on_it(
    tmp_path: Path, step_losses: list[float], accuracies: list[float]
) -> None:
    path = tmp_path / "curve.part"
    draw_curve(path, "scratch lstm on digits", step_losses, accuracies)
    pixels = image.imread(path, format="png")
    assert pixels.shape[:2] == (480, 1080)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 2


def test_each_measurement_is_drawn_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    draw_curve(tmp_path / "curve.png", "a title", [2.0, 1.0, 0.5, 0.25], [0.5, 0.75])
    (figure,) = drawn
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "a title"
    assert loss.lines[0].get_xydata().tolist() == [[0.5, 2], [1, 1], [1.5, 0.5], [2, 0.25]]
    assert accuracy.lines[0].get_xydata().tolist() == [[1, 50], [2, 75]]
