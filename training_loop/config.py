"""What a run is asked to do: train.py's options, judged before anything is loaded."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro

from command_line.errors import ConfigError, one_line
from training_loop.recipes import Recipe, recipe_for


def _option(kind: type, metavar: str, default: str) -> object:
    """How the command line reads and shows an option that is None until the run settles it."""
    return tyro.conf.arg(
        constructor=kind, metavar=metavar, help_behavior_hint=f"(default: {default})"
    )


def _choice(*names: str) -> object:
    """The same, for an option with a few values."""
    return tyro.conf.arg(
        metavar=f"{{{','.join(names)}}}", help_behavior_hint="(default: the recipe's)"
    )


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
    recipe: Literal["strong", "tutorial"] = "strong"
    """what the eight options below are set to"""
    epochs: Annotated[int | None, _option(int, "INT", "2; digits: 40")] = None
    """passes over the training images"""
    batch_size: Annotated[int | None, _option(int, "INT", "the recipe's")] = None
    """images in a batch, over all processes"""
    learning_rate: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """Adam's, at its highest"""
    schedule: Annotated[
        Literal["one-cycle", "constant"] | None, _choice("one-cycle", "constant")
    ] = None
    """of the learning rate"""
    warm_up: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """share of one cycle in which it rises"""
    beta2: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """Adam's memory for squared gradients"""
    init: Annotated[
        Literal["torch", "orthogonal", "chrono"] | None, _choice("torch", "orthogonal", "chrono")
    ] = None
    """how the first weights are drawn"""
    clip_norm: Annotated[float | None, _option(float, "FLOAT", "the recipe's")] = None
    """largest norm of the gradient; 0: any"""
    validation: bool = False
    """test on held-out training images instead"""
    seed: int = 0
    """of weights, dropout and the order of images"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: an accelerator if there is one"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """of the model's arithmetic"""
    compile: bool = False
    """compile the model with torch.compile"""
    checkpoint_every: Annotated[int | None, _option(int, "STEPS", "none")] = None
    """steps between checkpoints within an epoch"""
    data_dir: Path = Path("data")
    """folder in which MNIST/raw is or shall be"""
    run_dir: Annotated[Path | None, _option(Path, "PATH", "a new one in runs/")] = None
    """folder for the results"""

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
        """What to call the layer in a line: ``scratch lstm``, or the flag that names the user's."""
        if self.implementation in ("scratch", "builtin"):
            return f"{self.implementation} {self.cell}"
        return self.implementation

    @property
    def tested_on(self) -> str:
        """``test`` or ``validation``: which images the accuracy is that of."""
        return "validation" if self.validation else "test"

    def settled(self, dataset: str, device: str) -> "SettledConfig":
        """This configuration with all that was left open filled in.

        Args:
            dataset: the data set actually loaded.
            device: the kind of device actually used.
        """
        recipe = recipe_for(self.recipe, self.cell, dataset)
        asked = {name: getattr(self, name) for name in Recipe._fields}
        completed = recipe._replace(**{n: value for n, value in asked.items() if value is not None})
        options = vars(self) | completed._asdict() | {"dataset": dataset, "device": device}
        return SettledConfig(**options)

    def to_json(self) -> str:
        """The configuration as a JSON object, one option a line."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n"  # str: for paths

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The configuration that :meth:`to_json` wrote, perhaps an earlier version's.

        Raises:
            ConfigError, ValueError, TypeError: the text is not a configuration.
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
    def of_run(cls, folder: Path) -> Self:
        """The configuration in a run's folder.

        Raises:
            ConfigError: there is none, or it cannot be read as one.
        """
        file = folder / "config.json"
        try:
            return cls.from_json(file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"no run at {folder}: expected a folder with config.json") from None
        except (OSError, ConfigError, ValueError, TypeError) as error:
            reason = one_line(error)[:100]
            raise ConfigError(f"{file} is no run's configuration: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class SettledConfig(Config):
    """A configuration that leaves nothing open: what a run follows, and what its folder keeps."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Literal["one-cycle", "constant"]
    warm_up: float
    beta2: float
    init: Literal["torch", "orthogonal", "chrono"]
    clip_norm: float
