"""From a run folder or a file of weights to a model and the images it was trained on."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from command_line.errors import ConfigError, one_line
from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.infer_model import classifier_of, load_weights
from sequenced_mnist import ImageSets, load_images, sequence_shape
from shared_interface import SequenceClassifier
from training_loop.config import Config
from training_loop.model import build_model

WEIGHTS, CONFIG = "model.safetensors", "config.json"
DATASET_OF = {28: "mnist", 8: "digits"}
"""Features of one step -> the data set read by rows, for weights without a configuration."""


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model, ready to be shown an image.

    Attributes:
        name: what to call it.
        images: the data set that it was trained on.
        sequence: how it reads an image.
    """

    name: str
    model: SequenceClassifier
    images: ImageSets
    sequence: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """What each label stands for, in a word: torchvision calls a digit "7 - seven"."""
        return tuple(name.partition(" - ")[0] for name in self.images.class_names)


def load_run(path: Path, data_dir: Path | None = None) -> Run:
    """Load a run.

    Args:
        path: a run folder, or a file of weights (.safetensors, or torch.save's); config.json is
            looked for beside it.
        data_dir: folder in which MNIST/raw is; None for the one that the run was trained from.

    Raises:
        ExplorerError: there is no such run, or it is damaged, or its parts do not fit together.
        DataError, ImplementationError: its images or its implementation cannot be had.
    """
    weights, config = read_run(path)
    if config is None:
        model = classifier_of(weights)
        features = int(model.layer.input_size)  # type: ignore[arg-type]
        if features not in DATASET_OF:
            raise ExplorerError(
                f"{path} has no {CONFIG} beside it, and steps of {features} could be anything: "
                "put the run's config.json there"
            )
        images = load_images(DATASET_OF[features], data_dir or Path("data"))
        return Run(f"{type(model.layer).__name__} ({path.name})", model, images, "rows")
    images = load_images(config.dataset, data_dir or config.data_dir)
    height, width = images.test_images.shape[1:]
    _, input_size = sequence_shape(height, width, config.sequence)
    model = build_model(config, input_size, images.num_classes)
    load_weights(model, weights)
    return Run(config.layer, model, images, config.sequence)


def read_run(path: Path) -> tuple[dict[str, Tensor], Config | None]:
    """What a run folder holds: the only place that knows its files.

    Raises:
        ExplorerError: there is no such folder or file, or it cannot be read as what it is.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise ExplorerError(f"no run at {path}: expected a folder with {WEIGHTS}, or that file")
    config = file.with_name(CONFIG)
    return _read_weights(file), _read_config(config) if config.is_file() else None


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ExplorerError(
            f"cannot read weights from {file}: expected .safetensors, or torch.save of a state_dict"
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise ExplorerError(f"{file} holds no state_dict: save the classifier's state_dict()")
    return weights


def _read_config(file: Path) -> Config:
    try:
        return Config.from_json(file.read_text())
    except (OSError, ConfigError, ValueError, TypeError) as error:
        reason = one_line(error)[:100]
        raise ExplorerError(f"{file} is no run's configuration: {reason}") from error
