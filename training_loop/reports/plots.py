"""What a run came to, as pictures: its curve, its confusions, its worst mistakes; runs compared."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import IO

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

WORST = 40
"""Mistakes on a sheet."""


def draw_curve(
    path: Path | IO[bytes],
    title: str,
    step_losses: Sequence[float],
    accuracies: Sequence[float],
    tested: str,
) -> None:
    """Draw the loss of every step, and the accuracy after every epoch, as a PNG.

    Args:
        path: the file to write, whatever its suffix.
        title: says what was trained on what.
        step_losses: mean cross entropy of each step's batch, in nats.
        accuracies: share of the tested images named rightly, from 0 to 1, one an epoch.
        tested: ``test`` or ``validation``.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = _loss_and_accuracy(figure, tested)
    loss.plot(_epochs_of(step_losses, accuracies), step_losses, linewidth=0.8)
    accuracy.plot(range(1, len(accuracies) + 1), _percent(accuracies), marker="o")
    figure.savefig(path, format="png", dpi=120)


def draw_comparison(
    path: Path | IO[bytes], runs: Mapping[str, tuple[Sequence[float], Sequence[float]]], tested: str
) -> None:
    """Draw several runs over one another, as a PNG.

    Args:
        path: the file to write.
        runs: by name, the loss of every step and the accuracy after every epoch.
        tested: ``test`` or ``validation``.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    loss, accuracy = _loss_and_accuracy(figure, tested)
    # Each line is thinner than the one below it, so that equal curves are all seen.
    widths = np.linspace(1 + 1.2 * (len(runs) - 1), 0.8, len(runs))
    for (name, (losses, accuracies)), width, style in zip(
        runs.items(), widths, cycle(("-", "--", "-.", ":")), strict=False
    ):
        loss.plot(_epochs_of(losses, accuracies), losses, linewidth=width)
        epochs = range(1, len(accuracies) + 1)
        accuracy.plot(
            epochs, _percent(accuracies), style, linewidth=width + 0.7, marker="o", label=name
        )
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.savefig(path, format="png", dpi=120)


def draw_confusion(
    path: Path | IO[bytes], scores: Tensor, labels: Tensor, class_names: Sequence[str]
) -> None:
    """Draw how often images of each class were named as each other, as a PNG.

    Args:
        path: the file to write.
        scores: (n, classes) logits.
        labels: (n,) true classes.
        class_names: what each class stands for.
    """
    counts = confusion(scores, labels)  # (classes, classes)
    wrong = counts.masked_fill(torch.eye(len(counts), dtype=torch.bool), 0)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    # Only mistakes are coloured: beside the right answers they would all be white.
    most = max(1, int(wrong.max()))
    axes.imshow(wrong.numpy(), cmap="Oranges", vmin=0, vmax=most)
    for true, row in enumerate(counts.tolist()):
        for named, number in enumerate(row):
            on_dark = true != named and number > most / 2
            colour = "0.45" if true == named else "white" if on_dark else "black"
            axes.text(named, true, str(number or ""), ha="center", va="center", color=colour)
    long = max(map(len, class_names)) > 3
    axes.set_xticks(range(len(counts)), class_names, rotation=45 if long else 0)
    axes.set_yticks(range(len(counts)), class_names)
    right, total = int(counts.trace()), int(counts.sum())
    axes.set(
        xlabel="named", ylabel="true", title=f"{total - right} of {total} images named wrongly"
    )
    figure.savefig(path, format="png", dpi=110)


def draw_mistakes(
    path: Path | IO[bytes],
    images: Tensor,
    scores: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
) -> None:
    """Draw the images that were named wrongly with the most confidence, as a PNG.

    Args:
        path: the file to write.
        images: (n, height, width) uint8.
        scores, labels, class_names: as in :func:`draw_confusion`.
    """
    confidence, named = scores.softmax(dim=1).max(dim=1)
    wrong = (named != labels).nonzero().squeeze(1)
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)][:WORST]
    height, width = images.shape[1:]
    columns = 8
    tile_height, tile_width = round(1.5 * height), round(1.25 * width)  # room for the words
    sheet = np.zeros((WORST // columns * tile_height, columns * tile_width), dtype=np.uint8)
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots()
    for place, index in enumerate(worst.tolist()):
        top, left = (place // columns) * tile_height, (place % columns) * tile_width
        sheet[top : top + height, left : left + width] = images[index].numpy()
        true, answer = (class_names[int(of[index])] for of in (labels, named))
        words = f"{true} → {answer}, {100 * confidence[index]:.0f} %\n#{index}"
        axes.text(left + width / 2, top + 1.02 * height, words, fontsize=8, ha="center", va="top")
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    axes.set_axis_off()
    figure.suptitle(
        f"The {len(worst)} surest of {len(wrong)} mistakes: true → named, how sure, which image"
    )
    figure.savefig(path, format="png", dpi=110)


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """How many images of each class were named as each: (true, named) int64."""
    classes = scores.size(1)
    pairs = labels * classes + scores.argmax(dim=1)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def _loss_and_accuracy(figure: Figure, tested: str) -> tuple[Axes, Axes]:
    loss, accuracy = figure.subplots(1, 2, sharex=True)
    loss.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    accuracy.set(xlabel="epoch", ylabel=f"{tested} accuracy (%)")
    for axes in (loss, accuracy):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    return loss, accuracy


def _epochs_of(step_losses: Sequence[float], accuracies: Sequence[float]) -> list[float]:
    """Where in the run each step ended, in epochs."""
    return [(step + 1) * len(accuracies) / len(step_losses) for step in range(len(step_losses))]


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]
