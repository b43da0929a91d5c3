"""training_loop/reports/plots.py: each file is an image, and shows the measured values."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import image
from matplotlib.figure import Figure

from command_line.errors import printable
from training_loop.reports.plots import (
    confusion,
    draw_comparison,
    draw_confusion,
    draw_curve,
    draw_mistakes,
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    savefig = Figure.savefig

    def record(figure: Figure, *arguments: object, **options: object) -> None:
        figures.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return figures


@pytest.mark.parametrize(
    ("step_losses", "accuracies"),
    [([2.0, 1.0, 0.5, 0.25], [0.5, 0.75]), ([2.0], [0.1]), ([1.0, 0.0], [1.0])],
    ids=["two epochs", "a single step", "a loss of zero"],
)
def test_the_curve_is_a_png_that_is_not_blank(
    tmp_path: Path, step_losses: list[float], accuracies: list[float]
) -> None:
    path = tmp_path / "curve.part"
    draw_curve(path, "scratch lstm on digits", step_losses, accuracies, "test", "nats")
    pixels = image.imread(path, format="png")
    assert pixels.shape[:2] == (480, 1080)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 2


def test_losses_and_accuracies_are_drawn_by_epoch(tmp_path: Path, drawn: list[Figure]) -> None:
    losses, accuracies = [2.0, 1.0, 0.5, 0.25], [0.5, 0.75]
    draw_curve(tmp_path / "curve.png", "a title", losses, accuracies, "validation", "bits")
    (figure,) = drawn
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "a title"
    assert loss.lines[0].get_xydata().tolist() == [[0.5, 2], [1, 1], [1.5, 0.5], [2, 0.25]]
    assert accuracy.lines[0].get_xydata().tolist() == [[1, 50], [2, 75]]
    assert accuracy.get_ylabel() == "validation accuracy (%)"
    assert loss.get_ylabel() == "training loss (bits)"


def misclassified() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, logits and labels: six images of three classes; 1 and 4 are misclassified."""
    images = (torch.arange(6, dtype=torch.uint8) * 40).view(6, 1, 1).expand(6, 4, 5)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    predicted = torch.tensor([0, 2, 2, 0, 0, 2])
    confidence = torch.tensor([9.0, 3.0, 9.0, 9.0, 5.0, 9.0])
    return images, torch.eye(3)[predicted] * confidence[:, None], labels


def test_confusion_counts_by_true_and_predicted_class(tmp_path: Path, drawn: list[Figure]) -> None:
    _, logits, labels = misclassified()
    assert confusion(logits, labels).tolist() == [[2, 0, 0], [1, 0, 1], [0, 0, 2]]
    draw_confusion(tmp_path / "confusion.png", logits, labels, ("shoe", "bag", "coat"))
    assert image.imread(tmp_path / "confusion.png").shape[2] == 4
    (axes,) = drawn[0].axes
    assert axes.get_title() == "2 of 6 images misclassified"
    assert [text.get_text() for text in axes.texts] == ["2", "", "", "1", "", "1", "", "", "2"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["shoe", "bag", "coat"]


def test_the_most_confident_mistakes_come_first(tmp_path: Path, drawn: list[Figure]) -> None:
    images, logits, labels = misclassified()
    draw_mistakes(tmp_path / "mistakes.png", images, logits, labels, ("shoe", "bag", "coat"))
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.texts] == [
        "bag → shoe, 99 %\n#4",
        "bag → coat, 91 %\n#1",
    ]
    sheet = axes.images[0].get_array()
    assert (sheet[:4, :5] == 160).all()  # image 4, then image 1
    assert (sheet[:4, 6:11] == 40).all()


@pytest.mark.parametrize("correct", [0, 50, 60])
def test_at_most_40_mistakes_are_shown(correct: int, tmp_path: Path, drawn: list[Figure]) -> None:
    labels = torch.zeros(60, dtype=torch.int64)
    logits = torch.zeros(60, 2)
    logits[correct:, 1] = 1
    logits[:correct, 0] = 1
    draw_mistakes(
        tmp_path / "m.png", torch.zeros(60, 8, 8, dtype=torch.uint8), logits, labels, "ab"
    )
    assert len(drawn[0].axes[0].texts) == min(60 - correct, 40)


def test_compared_runs_have_common_axes_and_a_legend(tmp_path: Path, drawn: list[Figure]) -> None:
    runs = {"one": ([2.0, 1.0], [0.5]), "two": ([2.0, 1.5, 1.0, 0.5], [0.25, 0.75])}
    draw_comparison(tmp_path / "comparison.png", runs, "test", "nats")
    loss, accuracy = drawn[0].axes
    assert [line.get_xydata().tolist() for line in loss.lines] == [
        [[0.5, 2], [1, 1]],
        [[0.5, 2], [1, 1.5], [1.5, 1], [2, 0.5]],
    ]
    assert [line.get_xydata().tolist() for line in accuracy.lines] == [
        [[1, 50]],
        [[1, 25], [2, 75]],
    ]
    assert loss.lines[0].get_linewidth() > loss.lines[1].get_linewidth()
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.texts] == ["one", "two"]


NAMES = [
    "a$x_$b/c.py:Cell",
    r"$\frac$",
    "_run",
    "$",
    "100 % of $5",
    "a\nb",
    "a\udce9b",
    "\x07",
    "^_{",
]


@pytest.mark.slow
@pytest.mark.parametrize("usetex", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_of_a_file_or_folder_is_drawn(
    name: str, usetex: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []

    def draw(figure: Figure, *_: object, **__: object) -> None:
        """Lay out every text, which is what a name can break, without a file of pixels."""
        figure.draw_without_rendering()
        drawn.append(figure)

    monkeypatch.setattr(Figure, "savefig", draw)
    with mpl.rc_context({"text.usetex": usetex}):
        draw_curve(Path("curve.png"), name, [2.0, 1.0], [0.5], "test", "nats")
        runs = {name: ([2.0], [0.5]), "other": ([2.0], [0.5])}
        draw_comparison(Path("comparison.png"), runs, "test", "nats")
    assert drawn[0].get_suptitle() == printable(name)
    shown = [text.get_text() for text in drawn[1].legends[0].texts]
    assert shown == [printable(name), "other"]
