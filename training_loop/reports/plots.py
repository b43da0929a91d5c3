"""Plots of a run: curves, confusion matrix, mistakes; and of several runs: a comparison."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import IO

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from command_line.errors import printable

NUM_SHOWN = 40
"""Number of misclassified images shown."""
COLUMNS = 8
"""Number of images in a row."""
PLAIN_STYLE = mpl.rc_context({"text.usetex": False, "text.parse_math": False})
"""Names of files and folders are shown as they are: ``$`` in them is not mathematics, and a
user's own settings do not send them to LaTeX."""


@PLAIN_STYLE
def draw_curve(
    file: Path | IO[bytes],
    title: str,
    step_losses: Sequence[float],
    accuracies: Sequence[float],
    split: str,
    unit: str,
) -> None:
    """Draw the loss of every step and the accuracy after every epoch, as a PNG.

    Args:
        file: path or binary file to which the PNG is written.
        title: title of the figure.
        step_losses: mean loss of each step's batch.
        accuracies: after each epoch, from 0 to 1.
        split: ``test`` or ``validation``, for the axis label.
        unit: of the loss, for its axis label.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(printable(title))
    loss, accuracy = _loss_and_accuracy(figure, split, unit)
    loss.plot(_epochs_of(step_losses, accuracies), step_losses, linewidth=0.8)
    accuracy.plot(range(1, len(accuracies) + 1), _percent(accuracies), marker="o")
    figure.savefig(file, format="png", dpi=120)


@PLAIN_STYLE
def draw_comparison(
    file: Path | IO[bytes],
    runs: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    split: str,
    unit: str,
) -> None:
    """Draw the losses and accuracies of several runs on common axes, as a PNG.

    Args:
        file: path or binary file to which the PNG is written.
        runs: name -> the loss of every step, the accuracy after every epoch.
        split: ``test`` or ``validation``, for the axis label.
        unit: of the loss, for its axis label.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    loss, accuracy = _loss_and_accuracy(figure, split, unit)
    # Each line is thinner than the one below it, so that equal curves stay visible.
    widths = np.linspace(1 + 1.2 * (len(runs) - 1), 0.8, len(runs))
    for (losses, accuracies), width, style in zip(
        runs.values(), widths, cycle(("-", "--", "-.", ":")), strict=False
    ):
        loss.plot(_epochs_of(losses, accuracies), losses, linewidth=width)
        epochs = range(1, len(accuracies) + 1)
        accuracy.plot(epochs, _percent(accuracies), style, linewidth=width + 0.7, marker="o")
    # Given here and not as labels of the lines: a label that begins with "_" is not shown.
    figure.legend(
        accuracy.lines,
        [printable(name) for name in runs],
        loc="outside lower center",
        ncols=2,
        fontsize="small",
    )
    figure.savefig(file, format="png", dpi=120)


@PLAIN_STYLE
def draw_confusion(
    file: Path | IO[bytes], logits: Tensor, labels: Tensor, class_names: Sequence[str]
) -> None:
    """Draw the confusion matrix, as a PNG.

    Args:
        file: path or binary file to which the PNG is written.
        logits: (n, classes).
        labels: (n,) true classes.
        class_names: one name per class.
    """
    counts = confusion(logits, labels)  # (true, predicted)
    wrong = counts.masked_fill(torch.eye(len(counts), dtype=torch.bool), 0)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    # Only mistakes are coloured: on a common scale with the diagonal they would all be white.
    most = max(1, int(wrong.max()))
    axes.imshow(wrong.numpy(), cmap="Oranges", vmin=0, vmax=most)
    for true, row in enumerate(counts.tolist()):
        for predicted, number in enumerate(row):
            on_dark = true != predicted and number > most / 2
            colour = "0.45" if true == predicted else "white" if on_dark else "black"
            axes.text(predicted, true, str(number or ""), ha="center", va="center", color=colour)
    long = max(map(len, class_names)) > 3
    axes.set_xticks(range(len(counts)), class_names, rotation=45 if long else 0)
    axes.set_yticks(range(len(counts)), class_names)
    correct, total = int(counts.trace()), int(counts.sum())
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        title=f"{total - correct} of {total} images misclassified",
    )
    figure.savefig(file, format="png", dpi=110)


@PLAIN_STYLE
def draw_mistakes(
    file: Path | IO[bytes],
    images: Tensor,
    logits: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
) -> None:
    """Draw the misclassified images with the highest predicted probability, as a PNG.

    Args:
        file: path or binary file to which the PNG is written.
        images: (n, height, width) uint8.
        logits, labels, class_names: as in ``draw_confusion``.
    """
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    wrong = (predicted != labels).nonzero().squeeze(1)
    shown = wrong[confidence[wrong].argsort(descending=True, stable=True)][:NUM_SHOWN]
    height, width = images.shape[1:]
    tile_height, tile_width = round(1.5 * height), round(1.25 * width)  # room for the text
    sheet = np.zeros((NUM_SHOWN // COLUMNS * tile_height, COLUMNS * tile_width), dtype=np.uint8)
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots()
    for place, index in enumerate(shown.tolist()):
        top, left = (place // COLUMNS) * tile_height, (place % COLUMNS) * tile_width
        sheet[top : top + height, left : left + width] = images[index].numpy()
        true_name, predicted_name = (class_names[int(of[index])] for of in (labels, predicted))
        text = f"{true_name} → {predicted_name}, {100 * confidence[index]:.0f} %\n#{index}"
        axes.text(left + width / 2, top + 1.02 * height, text, fontsize=8, ha="center", va="top")
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    axes.set_axis_off()
    figure.suptitle(
        f"{len(shown)} of {len(wrong)} misclassified images, most confident first: "
        "true → predicted class, probability, #index"
    )
    figure.savefig(file, format="png", dpi=110)


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Confusion matrix: number of images by (true class, predicted class), int64."""
    classes = logits.size(1)
    pairs = labels * classes + logits.argmax(dim=1)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def _loss_and_accuracy(figure: Figure, split: str, unit: str) -> tuple[Axes, Axes]:
    loss, accuracy = figure.subplots(1, 2, sharex=True)
    loss.set(xlabel="epoch", ylabel=f"training loss ({unit})", yscale="log")
    accuracy.set(xlabel="epoch", ylabel=f"{split} accuracy (%)")
    for axes in (loss, accuracy):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    return loss, accuracy


def _epochs_of(step_losses: Sequence[float], accuracies: Sequence[float]) -> list[float]:
    """Position of the end of each step in the run, in epochs."""
    return [(step + 1) * len(accuracies) / len(step_losses) for step in range(len(step_losses))]


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]
