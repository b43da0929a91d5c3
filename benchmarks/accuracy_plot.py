"""Draw the accuracy after each epoch: the mean over the seeds, and their spread."""

from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

COLOURS = {"RNN": "tab:red", "GRU": "tab:green", "LSTM": "tab:blue"}
STYLES = {"builtin": "--"}
"""By a word of the label; other lines are solid."""


def draw(curves: dict[str, list[list[float]]], path: Path) -> None:
    """Draw one line for each label, in a band from the lowest to the highest seed, as a PNG.

    Args:
        curves: label -> for each seed, the accuracy after each epoch in percent.
        path: file of the picture.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    others = cycle(mpl.color_sequences["tab10"])
    later = []
    for label, seeds in curves.items():
        values = np.array(seeds)  # (seeds, epochs)
        epochs = range(1, values.shape[1] + 1)
        words = label.replace(",", "").split()
        colour = COLOURS[words[0]] if len(curves) <= 2 * len(COLOURS) else next(others)
        style = next((STYLES[word] for word in words if word in STYLES), "-")
        axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, lw=0)
        shown = f"{label} ({len(seeds)} seed{'s' if len(seeds) > 1 else ''})"
        axes.plot(epochs, values.mean(0), style, color=colour, label=shown)
        later.append(values[:, 1:].min(initial=100))
    axes.set(xlabel="epoch", ylabel="test accuracy (%), mean and range of the seeds")
    axes.set_ylim(bottom=min(later) - 0.2)  # the first epoch would take most of the height
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
