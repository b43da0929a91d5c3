"""Options of train.py, validated before anything is loaded."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import tyro

from command_line.errors import ConfigError, one_line
from training_loop.recipes import Init, Recipe, Schedule, recipe_for

Split = Literal["test", "validation"]


def _option(kind: type, metavar: str, default: str) -> object:
    """Command-line settings of an option whose field is None until its default is resolved."""
    return tyro.conf.arg(
        constructor=kind, metavar=metavar, help_behavior_hint=f"(default: {default})"
    )


def _choice(choices: Any) -> object:
    """The same for an option that takes one of the values of a ``Literal``."""
    return tyro.conf.arg(
        metavar=f"{{{','.join(get_args(choices))}}}", help_behavior_hint="(default: the recipe's)"
    )


@dataclass(frozen=True)
class Config:
    """Train a recurrent layer to classify images, which it reads as sequences."""

    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    """type of recurrent cell in a scratch or builtin layer"""
    implementation: Annotated[str, tyro.conf.arg(metavar="NAME")] = "scratch"
    """recurrent layer: scratch, builtin (torch.nn's), or yours as FILE.py:CLASS or MODULE:CLASS"""
    backend: Literal["auto", "plain", "bptt", "c", "triton"] = "auto"
    """backend that computes scratch layers; auto is the fastest exact one, plain the loop"""
    dataset: Literal["auto", "mnist", "fashion-mnist", "kmnist", "digits"] = "auto"
    """data set; auto is MNIST if it is there or can be downloaded, else digits"""
    sequence: Literal["rows", "columns", "pixels", "permuted"] = "rows"
    """what is read at each time step: a row, a column, a pixel, or a pixel in permuted order"""
    hidden_size: int = 128
    """number of units of the hidden state"""
    num_layers: int = 2
    """number of stacked recurrent layers"""
    bidirectional: bool = False
    """also read each sequence from its end to its beginning"""
    dropout: float = 0.0
    """dropout probability between stacked layers"""
    recipe: Literal["strong", "tutorial"] = "strong"
    """recipe that sets the default values of the next eight options"""
    epochs: Annotated[int | None, _option(int, "INT", "2; digits: 40")] = None
    """number of training epochs"""
    batch_size: Annotated[int | None, _option(int, "INT", "the recipe's")] = None
    """number of images in a batch, over all processes"""
    learning_rate: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """peak learning rate of Adam"""
    schedule: Annotated[Schedule | None, _choice(Schedule)] = None
    """learning-rate schedule"""
    warm_up: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """share of the one-cycle schedule in which the learning rate rises, between 0 and 1"""
    beta2: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """beta2 of Adam, the decay rate of its mean of squared gradients"""
    init: Annotated[Init | None, _choice(Init)] = None
    """initialization scheme of the recurrent layer"""
    clip_norm: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """norm to which larger gradients are clipped; 0 disables clipping"""
    validation: bool = False
    """measure the accuracy on held-out training images instead of the test images"""
    seed: int = 0
    """random seed of the weights, of dropout and of the order of the images"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """device to train on; auto is a GPU if there is one"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """precision of the forward and backward pass; bf16 and fp16 are mixed precision"""
    compile: bool = False
    """compile the model with torch.compile"""
    checkpoint_every: Annotated[int | None, _option(int, "STEPS", "none")] = None
    """number of steps between additional checkpoints within an epoch"""
    data_dir: Path = Path("data")
    """folder of the data sets; MNIST is read from, and downloaded to, MNIST/raw in it"""
    run_dir: Annotated[Path | None, _option(Path, "PATH", "a new one in runs/")] = None
    """folder for checkpoints, metrics and the trained model; must be new or empty"""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "epochs", "batch_size", "checkpoint_every"):
            self._require(name, "at least 1", lambda value: value >= 1)
        self._require("dropout", "a probability from 0 to 1", lambda value: 0 <= value <= 1)
        self._require("learning_rate", "positive and finite", lambda value: 0 < value < math.inf)
        self._require("warm_up", "between 0 and 1", lambda value: 0 < value < 1)
        self._require("beta2", "between 0 and 1", lambda value: 0 < value < 1)
        self._require("clip_norm", "0 or more, and finite", lambda value: 0 <= value < math.inf)
        self._require("seed", "from 0 to 2**64 - 1", lambda value: 0 <= value < 2**64)

    def _require(self, name: str, rule: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise ConfigError(f"{name} is {value}: expected {rule}")

    @property
    def layer(self) -> str:
        """Name of the layer in printed lines: ``scratch lstm``, or the user's FILE.py:CLASS."""
        if self.implementation in ("scratch", "builtin"):
            return f"{self.implementation} {self.cell}"
        return self.implementation

    @property
    def split(self) -> Split:
        """The images on which the accuracy is measured."""
        return "validation" if self.validation else "test"

    def resolved(self, dataset: str, device: str) -> "ResolvedConfig":
        """This configuration with every default filled in.

        Args:
            dataset: name of the data set that was loaded.
            device: type of the device in use.
        """
        recipe = vars(recipe_for(self.recipe, self.cell, dataset))
        given = {name: getattr(self, name) for name in recipe if getattr(self, name) is not None}
        actual = {"dataset": dataset, "device": device}
        return ResolvedConfig(**(vars(self) | recipe | given | actual))

    def to_json(self) -> str:
        """The configuration as a JSON object, one option per line."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n"  # str: for paths

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The configuration that :meth:`to_json` wrote. Unknown options are ignored.

        Raises:
            ConfigError, ValueError, TypeError: ``text`` is not a valid configuration.
        """
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("expected a JSON object")
        known = {field.name for field in dataclasses.fields(cls)}
        options = {name: value for name, value in content.items() if name in known}
        for name in ("data_dir", "run_dir"):
            if options.get(name) is not None:
                options[name] = Path(options[name])
        return cls(**options)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The configuration of the run in ``folder``.

        Raises:
            ConfigError: ``config.json`` is missing or invalid.
        """
        file = folder / "config.json"
        try:
            return cls.from_json(file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"no run at {folder}: config.json is missing; give a run folder of train.py"
            ) from None
        except (OSError, ConfigError, ValueError, TypeError) as error:
            reason = one_line(error)[:100]
            raise ConfigError(f"{file} is not a run's configuration: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(Recipe, Config):
    """A configuration with every default filled in: what a run follows and saves.

    The options of the recipe have the types of :class:`~training_loop.recipes.Recipe`, without
    None.
    """
