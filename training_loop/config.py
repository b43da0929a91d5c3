"""What a run is asked to do: train.py's options, judged before anything is loaded."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro


class Schedule(NamedTuple):
    """How long and how fast to train: what a data set has its own defaults for."""

    epochs: int
    batch_size: int
    learning_rate: float


MNIST_SCHEDULE = Schedule(epochs=2, batch_size=100, learning_rate=1e-3)
# The digits are 1,433 where MNIST is 60,000: smaller batches and longer steps make up for some of
# it, more passes for the rest. Each of the three cells then names at least 97 % of the test digits.
DIGITS_SCHEDULE = Schedule(epochs=40, batch_size=50, learning_rate=5e-3)


class ConfigError(ValueError):
    """An option that cannot be followed; its message is one line with the value and the rule."""


def _option(kind: type, metavar: str, default: str) -> object:
    """How the command line reads and shows an option that is None until the run settles it."""
    return tyro.conf.arg(
        constructor=kind, metavar=metavar, help_behavior_hint=f"(default: {default})"
    )


def _scheduled(name: str, kind: type, metavar: str) -> object:
    """The same, for an option whose default is the data set's own."""
    general, digits = getattr(MNIST_SCHEDULE, name), getattr(DIGITS_SCHEDULE, name)
    return _option(kind, metavar, f"{general}; digits: {digits}")


@dataclass(frozen=True)
class Config:
    """Train a recurrent layer to name images that it reads as sequences."""

    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    """kind of scratch or builtin layer"""
    implementation: Annotated[str, tyro.conf.arg(metavar="NAME")] = "scratch"
    """scratch, builtin, FILE.py:CLASS or MODULE:CLASS"""
    dataset: Literal["auto", "mnist", "fashion-mnist", "kmnist", "digits"] = "auto"
    """auto: mnist if it can be had, else digits"""
    sequence: Literal["rows", "columns", "pixels", "permuted"] = "rows"
    """what a step of the sequence is"""
    hidden_size: int = 128
    """size of the hidden state"""
    num_layers: int = 2
    """recurrent layers, one on top of the other"""
    bidirectional: bool = False
    """read in both directions"""
    dropout: float = 0.0
    """probability, between layers"""
    epochs: Annotated[int | None, _scheduled("epochs", int, "INT")] = None
    """passes over the training images"""
    batch_size: Annotated[int | None, _scheduled("batch_size", int, "INT")] = None
    """images in a batch"""
    learning_rate: Annotated[float | None, _scheduled("learning_rate", float, "FLOAT")] = None
    """Adam's learning rate"""
    seed: int = 0
    """of weights, dropout and the order of images"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: an accelerator if there is one"""
    data_dir: Path = Path("data")
    """folder in which MNIST/raw is or shall be"""
    run_dir: Annotated[Path | None, _option(Path, "PATH", "a new one in runs/")] = None
    """folder for the results"""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "epochs", "batch_size"):
            self._require(name, "at least 1", lambda value: value >= 1)
        self._require("dropout", "a probability from 0 to 1", lambda value: 0 <= value <= 1)
        self._require("learning_rate", "positive and finite", lambda value: 0 < value < math.inf)
        self._require("seed", "from 0 to 2**64 - 1", lambda value: 0 <= value < 2**64)

    def _require(self, name: str, rule: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise ConfigError(f"{name} is {value}: expected {rule}")

    @property
    def layer(self) -> str:
        """What to call the layer in a line: ``scratch lstm``, or the flag that names the user's."""
        if self.implementation in ("scratch", "builtin"):
            return f"{self.implementation} {self.cell}"
        return self.implementation

    def schedule_for(self, dataset: str) -> Schedule:
        """The schedule asked for, completed by the data set's own defaults."""
        default = DIGITS_SCHEDULE if dataset == "digits" else MNIST_SCHEDULE
        return Schedule(
            self.epochs or default.epochs,
            self.batch_size or default.batch_size,
            self.learning_rate or default.learning_rate,
        )
