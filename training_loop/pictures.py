"""The training curve of a run, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure


def draw_curve(
    path: Path, title: str, step_losses: Sequence[float], accuracies: Sequence[float]
) -> None:
    """Draw the loss of every step, and the test accuracy after every epoch, as a PNG.

    Args:
        path: the file to write, whatever its suffix.
        title: says what was trained on what.
        step_losses: mean cross entropy of each step's batch, in nats.
        accuracies: share of test images named rightly, from 0 to 1, one an epoch.
    """
    epochs = range(1, len(accuracies) + 1)
    epochs_of_steps = [
        (step + 1) * len(accuracies) / len(step_losses) for step in range(len(step_losses))
    ]
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2, sharex=True)
    loss.plot(epochs_of_steps, step_losses, linewidth=0.8)
    loss.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    accuracy.plot(epochs, [100 * share for share in accuracies], marker="o")
    accuracy.set(xlabel="epoch", ylabel="test accuracy (%)")
    for axes in (loss, accuracy):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)
