"""Options of train.py, validated before anything is loaded."""

import dataclasses
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import tyro

from command_line.errors import ConfigError, one_line
from command_line.shell import shell_join
from command_line.trust import is_own_code
from training_loop.recipes import Init, Recipe, Schedule, recipe_for

DATA_DIR = Path("data")
"""Default of ``data_dir``."""
Split = Literal["test", "validation"]
LENGTHS = {"mnist": None, "adding": 100, "copy": 50}
"""Task -> default of ``length``; images have a length of their own."""
CHANGEABLE = {"implementation", "backend", "device", "compile", "checkpoint_every", "data_dir"}
"""Options that may change on resume: they change the results by rounding at most."""


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


MOST = {
    "hidden_size": 65_536,  # one layer has 17 to 69 GB of weights
    "num_layers": 1000,
    "length": 100_000,
    "epochs": 1_000_000,
    "batch_size": 1_000_000,  # more than the images of any set
    "checkpoint_every": 10**12,
}
"""Larger values are typing errors, and would run until the memory is used up."""

EARLIER = {"backend": "auto", "task": "mnist", "length": None}
"""Options that the configurations of earlier runs lack, with the values that these runs had."""


@dataclass(frozen=True)
class Config:
    """Train a recurrent layer to classify images, or on a task that needs memory."""

    task: Literal["mnist", "adding", "copy"] = "mnist"
    """what is learned: to classify images, add two marked values, or copy symbols after a pause"""
    length: Annotated[int | None, _option(int, "STEPS", "adding: 100; copy: 50")] = None
    """number of time steps of the adding problem, or of the pause in the copying task"""
    cell: Annotated[
        Literal["rnn", "gru", "lstm"] | None,
        tyro.conf.arg(metavar="{rnn,gru,lstm}", help_behavior_hint="(default: lstm)"),
    ] = "lstm"
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
    epochs: Annotated[
        int | None, _option(int, "INT", "2; digits: 40; all others of 50 steps or more: 20")
    ] = None
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
    data_dir: Annotated[Path | None, _option(Path, "PATH", "data")] = None
    """folder of the data sets; MNIST is read from, and downloaded to, MNIST/raw in it"""
    run_dir: Annotated[Path | None, _option(Path, "PATH", "a new one in runs/")] = None
    """folder for checkpoints, metrics and the trained model; must be new or empty"""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "epochs", "batch_size", "checkpoint_every"):
            self._require(name, "at least 1", lambda value: value >= 1)
        self._require("length", "at least 2", lambda value: value >= 2)
        self._require_options_of_the_task()
        for name, most in MOST.items():
            self._require(name, f"at most {most}", most.__ge__)
        self._require("dropout", "a probability from 0 to 1", lambda value: 0 <= value <= 1)
        self._require("learning_rate", "positive and finite", lambda value: 0 < value < math.inf)
        self._require("warm_up", "between 0 and 1", lambda value: 0 < value < 1)
        self._require("beta2", "between 0 and 1", lambda value: 0 < value < 1)
        self._require("clip_norm", "0 or more, and finite", lambda value: 0 <= value < math.inf)
        self._require("seed", "from 0 to 2**64 - 1", lambda value: 0 <= value < 2**64)

    def _require(self, name: str, rule: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            shown = str(value) if isinstance(value, float) or abs(value) < 10**40 else "too large"
            raise ConfigError(f"{name} is {shown}: expected {rule}")

    def _require_options_of_the_task(self) -> None:
        if self.task == "mnist":
            if self.length is not None:
                raise ConfigError(
                    f"length is {self.length}: images have a length of their own; expected it "
                    "with --task adding or copy"
                )
            return
        for name, default in (("dataset", "auto"), ("sequence", "rows")):
            if (value := getattr(self, name)) != default:
                raise ConfigError(
                    f"{name} is {value}: the task {self.task} has no images; expected no {name}"
                )

    @property
    def subject(self) -> str:
        """What is learned, in printed lines: ``mnist``, or ``adding, T = 100``."""
        return self.dataset if self.task == "mnist" else f"{self.task}, T = {self.length}"

    @property
    def reader(self) -> str:
        """The layer, and for images the order in which it reads them: ``scratch lstm, rows``."""
        return f"{self.layer}, {self.sequence}" if self.task == "mnist" else self.layer

    @property
    def loss_unit(self) -> str:
        """Unit of the loss."""
        return "squared error" if self.task == "adding" else "nats"

    @property
    def layer(self) -> str:
        """Name of the layer in printed lines: ``scratch lstm``, or the user's FILE.py:CLASS."""
        if self.implementation in ("scratch", "builtin"):
            return f"{self.implementation} {self.cell}"
        return self.implementation

    def command(self, option: str, folder: Path) -> str:
        """``--resume FOLDER``, with ``--implementation`` if the run has the user's own layer.

        Args:
            option: ``--resume`` or ``--evaluate``.
            folder: the run's folder.
        """
        return shell_join([option, str(folder), *self.own_implementation])

    @property
    def own_implementation(self) -> list[str]:
        """The option for the user's own layer, which a run's folder does not load by itself."""
        if is_own_code(self.implementation):
            return ["--implementation", self.implementation]
        return []

    @property
    def split(self) -> Split:
        """The images on which the accuracy is measured."""
        return "validation" if self.validation else "test"

    def resolved(self, dataset: str, device: str) -> "ResolvedConfig":
        """This configuration with every default filled in.

        Args:
            dataset: name of the data set that was loaded; ``auto`` for a task without images.
            device: type of the device in use.
        """
        data = dataset if self.task == "mnist" else self.task
        recipe = vars(recipe_for(self.recipe, self.cell, data, self.sequence))
        given = {name: getattr(self, name) for name in recipe if getattr(self, name) is not None}
        actual = {
            "dataset": dataset,
            "device": device,
            "data_dir": self.data_dir or DATA_DIR,
            "length": self.length or LENGTHS[self.task],
            "cell": None if is_own_code(self.implementation) else self.cell,
        }
        return ResolvedConfig(**(vars(self) | recipe | given | actual))

    def to_json(self) -> str:
        """The configuration as a JSON object, one option per line."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n"  # str: for paths

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The configuration that ``to_json`` wrote.

        Raises:
            ConfigError, ValueError: ``text`` is not JSON, or not a complete valid configuration.
        """
        try:
            return cls.from_options(json.loads(text))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    @classmethod
    def from_options(cls, content: object) -> Self:
        """The configuration from the content of its JSON object.

        Raises:
            ConfigError, ValueError: an option is missing, unknown, or has a wrong type or value.
        """
        if not isinstance(content, dict):
            raise ValueError("expected a JSON object")
        hints = get_type_hints(cls)  # without Annotated
        if unknown := [name for name in content if name not in hints]:
            raise ValueError(f"unknown option {unknown[0]!r}")
        content = EARLIER | content
        options: dict[str, Any] = {}
        for name, hint in hints.items():
            if name not in content:
                raise ValueError(f"the option {name} is missing")
            options[name] = _typed(name, content[name], hint)
        return cls(**options)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The configuration of the run in ``folder``.

        Raises:
            ConfigError: ``config.json`` is missing or invalid.
        """
        file = folder / "config.json"
        try:
            if not os.path.isfile(file):  # never an error; False for a pipe, which would block
                raise FileNotFoundError
            return cls.from_json(file.read_text())
        except FileNotFoundError:
            raise ConfigError(
                f"no run at {folder}: config.json is missing; give a run folder of train.py"
            ) from None
        except (OSError, ConfigError, ValueError) as error:
            reason = one_line(error)[:100]
            raise ConfigError(f"{file} is not a run's configuration: {reason}") from error


def _typed(name: str, value: Any, hint: Any) -> Any:
    """A value read from JSON, as the type that an option has.

    Raises:
        ValueError: it has another type, or is not one of the option's choices.
    """
    optional = get_origin(hint) in (Union, UnionType)
    kind = get_args(hint)[0] if optional else hint  # int | None -> int
    if value is None and optional:
        return None
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise ValueError(f"{name} is {value!r}: expected {', '.join(get_args(kind))}")
    accepted: dict[Any, Any] = {Path: str, float: (int, float)}
    if not isinstance(value, accepted.get(kind, kind)) or (
        isinstance(value, bool) and kind is not bool
    ):
        raise ValueError(f"{name} is {value!r}: expected {_KIND_NAMES[kind]}")
    try:
        return kind(value)
    except OverflowError:  # an integer that no float can hold
        raise ValueError(f"{name} is too large") from None


_KIND_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    Path: "text",
}


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(Recipe, Config):
    """A configuration with every default filled in: what a run follows and saves.

    The options of the recipe have the types of ``Recipe``, without
    None.
    """
