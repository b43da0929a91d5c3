"""Training recipes: hyperparameters for each kind of cell, and for each data set or task.

``tutorial`` is the recipe of most tutorials: Adam at a constant 1e-3 and torch.nn's initial
weights. ``strong`` reaches a higher accuracy in the same two epochs by orthogonal recurrent
weights, a forget gate that starts open, a one-cycle learning rate, gradient clipping, and a lower
beta2, because gradient magnitudes change fast in a short run.

Sources: L. Smith & N. Topin, Super-Convergence (2018), arXiv:1708.07120, for the one-cycle
schedule; R. Pascanu et al., On the Difficulty of Training Recurrent Neural Networks (2013),
arXiv:1211.5063, for gradient clipping. initialization.py has the sources of the initial weights.
"""

from dataclasses import dataclass, replace
from typing import Literal

Schedule = Literal["one-cycle", "constant"]
Init = Literal["torch", "orthogonal", "chrono", "uniform-gate"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One setting of the hyperparameters.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a batch, over all processes.
        learning_rate: Adam's learning rate; with ``one-cycle`` its peak.
        schedule: ``constant``, or ``one-cycle`` over the whole run.
        warm_up: share of the one-cycle schedule in which the learning rate rises, from 0 to 1.
        beta2: decay rate of Adam's running mean of squared gradients.
        init: initialization scheme, see ``initialize``.
        clip_norm: the gradient is scaled down to this norm if it is larger; 0 disables it.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    warm_up: float
    beta2: float
    init: Init
    clip_norm: float


TUTORIAL = Recipe(
    epochs=2,
    batch_size=100,
    learning_rate=1e-3,
    schedule="constant",
    warm_up=0.3,
    beta2=0.999,
    init="torch",
    clip_norm=0.0,
)
STRONG = Recipe(
    epochs=2,
    batch_size=50,
    learning_rate=3e-3,
    schedule="one-cycle",
    warm_up=0.15,
    beta2=0.99,
    init="orthogonal",
    clip_norm=1.0,
)
STRONG_RNN = replace(STRONG, learning_rate=1e-3)
"""A plain RNN has no gates and diverges more easily, so it needs a lower learning rate."""

LONG_RATES: dict[tuple[str | None, str], float] = {
    ("gru", "pixels"): 5e-3,
    ("gru", "permuted"): 5e-3,
    ("lstm", "permuted"): 5e-3,
}
"""Learning rates for 784 steps, where held-out images favour another one than 2e-3: see
docs/results/accuracy.md."""


def recipe_for(name: str, cell: str | None, data: str, sequence: str = "rows") -> Recipe:
    """The recipe ``strong`` or ``tutorial``.

    Args:
        name: of the recipe.
        cell: ``rnn``, ``gru``, ``lstm``, or None for the user's own layer.
        data: name of the data set, or ``adding`` or ``copy``.
        sequence: order in which images are read.
    """
    strong = STRONG_RNN if cell == "rnn" else STRONG
    recipe = TUTORIAL if name == "tutorial" else strong
    if data in ("adding", "copy"):
        recipe = replace(recipe, epochs=20)
        # The LSTM's test loss of adding, T = 100, is 0.09 from chrono and 0.17 from uniform-gate
        # after 8 epochs; of copy, T = 50, it is 1.65 and 1.73 after 20 epochs.
        return recipe if name == "tutorial" else replace(recipe, init="chrono")
    if data == "digits":
        # 1,433 training images instead of MNIST's 60,000: more epochs, smaller batches and a higher
        # learning rate make up for it. Each cell then reaches at least 97 % test accuracy.
        return replace(recipe, epochs=40, batch_size=50, learning_rate=5e-3)
    if sequence in ("pixels", "permuted"):
        recipe = replace(recipe, epochs=20, batch_size=100)
        if name == "tutorial":
            return recipe
        rate = LONG_RATES.get((cell, sequence), min(2e-3, recipe.learning_rate))
        return replace(recipe, init="uniform-gate", learning_rate=rate)
    return recipe
