"""Load a model, and the images it was trained on, from a run folder or a file of weights."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.infer_model import infer_classifier, load_weights
from sequenced_mnist import ImageSets, load_images, sequence_shape
from shared_interface import SequenceClassifier
from training_loop.config import Config
from training_loop.model import build_model

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
DATASET_BY_FEATURES = {28: "mnist", 8: "digits"}
"""Features of one step -> data set, for weights without a config.json. Assumes ``rows``."""


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A trained model and its data set.

    Attributes:
        name: the name of the model that the page shows.
        model: the trained classifier.
        images: the data set on which it was trained.
        sequence: how it reads an image: ``rows``, ``columns``, ``pixels`` or ``permuted``.
    """

    name: str
    model: SequenceClassifier
    images: ImageSets
    sequence: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class, shortened to one word: ``"7"`` for torchvision's "7 - seven"."""
        return tuple(name.partition(" - ")[0] for name in self.images.class_names)


def load_run(path: Path, data_dir: Path | None = None) -> LoadedRun:
    """Load a run.

    Args:
        path: a run folder, or a file of weights (.safetensors, or saved by torch.save). The
            config.json in the same folder is used if there is one.
        data_dir: the folder that contains MNIST/raw; by default the folder that the run was
            trained from.

    Raises:
        ConfigError: the run does not exist, is damaged, or its weights do not fit its config.
        DataError, ImplementationError: its images or its implementation cannot be loaded.
    """
    weights, config = read_run(path)
    if config is None:
        model = infer_classifier(weights)
        features = int(model.layer.input_size)  # type: ignore[arg-type]
        if features not in DATASET_BY_FEATURES:
            raise ExplorerError(
                f"cannot infer the data set of {path} from steps of size {features}: "
                f"put the run's {CONFIG_FILE} into the same folder"
            )
        images = load_images(DATASET_BY_FEATURES[features], data_dir or Path("data"))
        return LoadedRun(f"{type(model.layer).__name__} ({path.name})", model, images, "rows")
    images = load_images(config.dataset, data_dir or config.data_dir or Path("data"))
    height, width = images.test_images.shape[1:]
    _, input_size = sequence_shape(height, width, config.sequence)
    model = build_model(config, input_size, images.num_classes)
    load_weights(model, weights)
    return LoadedRun(config.layer, model, images, config.sequence)


def read_run(path: Path) -> tuple[dict[str, Tensor], Config | None]:
    """Read the weights of a run, and its configuration if there is one.

    Raises:
        ConfigError: the folder or file does not exist, or a file is damaged.
    """
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ExplorerError(
            f"no run at {path}: expected a folder with {WEIGHTS_FILE}, or a file of weights"
        )
    has_config = file.with_name(CONFIG_FILE).is_file()
    return _read_weights(file), Config.load(file.parent) if has_config else None


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
        raise ExplorerError(f"{file} does not contain a state_dict: save classifier.state_dict()")
    return weights
