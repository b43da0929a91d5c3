"""Find a unit of a trained model that means something, and follow it through several digits.

    python train.py --dataset digits --cell lstm --hidden-size 32 --run-dir runs/follow
    python -m examples.follow_a_unit runs/follow follow_a_unit.png

For each unit of the last layer and each class, the script compares the unit's final state for test
images of the class with its final state for all others. The pair with the largest difference, in
standard deviations, is a unit that detects a class. Then the unit's state is drawn after each row
of six digits, three of the class and three of others.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from gate_explorer.inputs.load_run import LoadedRun, load_run
from scratch_cells import from_torch, trace
from sequenced_mnist import to_sequences

IMAGES = 500
"""Number of test images that the choice is based on."""


def states_of(run: LoadedRun) -> tuple[str, Tensor]:
    """The states that the last layer keeps, (images, time, units): c of an LSTM, otherwise h."""
    sequences = to_sequences(run.images.test_images[:IMAGES], run.sequence)
    with torch.no_grad():
        traced = trace(from_torch(run.model).layer, sequences).of(layer=-1)
    name = "cell" if "cell" in traced.states else "hidden"
    return name, traced.states[name]


def detectors(final: Tensor, labels: Tensor) -> Tensor:
    """How well each unit separates each class from the others, (classes, units).

    Args:
        final: state after the last step, (images, units).
        labels: class of each image, (images,).

    Returns:
        The difference of the two means, divided by the mean of the two standard deviations.
    """
    scores = []
    for label in labels.unique():
        inside, outside = final[labels == label], final[labels != label]
        spread = (inside.std(0) + outside.std(0)) / 2
        scores.append((inside.mean(0) - outside.mean(0)) / spread.clamp(min=1e-6))
    return torch.stack(scores)


def draw(run: LoadedRun, path: Path) -> None:
    """Find the unit, draw it, and print which one it is."""
    name, states = states_of(run)
    labels = run.images.test_labels[:IMAGES]
    scores = detectors(states[:, -1], labels)
    label, unit = divmod(int(scores.abs().argmax()), scores.size(1))
    of_class = (labels == label).nonzero().flatten()[:3]
    others = (labels != label).nonzero().flatten()[:3]
    print(f"unit {unit} of the last layer detects {label}: {scores[label, unit]:+.1f} deviations")
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(2, 6, sharey="row")
    for column, index in enumerate([*of_class.tolist(), *others.tolist()]):
        above, below = axes[0, column], axes[1, column]
        above.imshow(run.images.test_images[index].numpy(), cmap="gray_r")
        above.set_axis_off()
        color = "tab:red" if column < 3 else "tab:gray"
        steps = range(1, states.size(1) + 1)
        below.plot(steps, states[index, :, unit].numpy(), color=color, marker=".")
        below.axhline(0, color="lightgray", linewidth=0.8)
        below.set_xticks(steps[1::2])
        below.set_xlabel("row")
    axes[1, 0].set_ylabel(f"{name} state, unit {unit}")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m examples.follow_a_unit RUN PICTURE.png")
    draw(load_run(Path(sys.argv[1])), Path(sys.argv[2]))
