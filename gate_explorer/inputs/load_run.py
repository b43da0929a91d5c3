"""Load a model, and the images it was trained on, from a run folder or a file of weights."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from command_line.errors import printable
from command_line.trust import is_own_code, require_given
from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.infer_model import infer_classifier, load_weights
from gate_explorer.inputs.read_weights import read_weights
from sequenced_mnist import ImageSets, load_images, sequence_shape
from shared_interface import SequenceClassifier
from training_loop.config import Config
from training_loop.model import build_model
from training_loop.runs import checkpoint
from training_loop.runs.saved_config import load_config, protected_copy

WEIGHTS_FILE, CONFIG_FILE, METRICS_FILE = "model.safetensors", "config.json", "metrics.json"
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
        folder: the name of the run's folder, or of its file of weights.
        accuracy: of the test images, from 0 to 1, if the run has measured it.
    """

    name: str
    model: SequenceClassifier
    images: ImageSets
    sequence: str
    folder: str = ""
    accuracy: float | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class, shortened to one word: ``"7"`` for torchvision's "7 - seven"."""
        return tuple(name.partition(" - ")[0] for name in self.images.class_names)


class SavedRun(NamedTuple):
    """What a run's folder contains.

    Attributes:
        weights: the classifier's state_dict.
        config: the configuration, if there is one.
        step: the training step of the latest checkpoint; None for final weights.
    """

    weights: dict[str, Tensor]
    config: Config | None
    step: int | None = None


def load_run(
    path: Path | str, data_dir: Path | None = None, implementation: str | None = None
) -> LoadedRun:
    """Load a run.

    Args:
        path: a run folder, or a file of weights (.safetensors, or saved by torch.save). The
            config.json in the same folder is used if there is one. The folder of an interrupted
            run gives the model of its latest checkpoint.
        data_dir: the folder that contains MNIST/raw; by default the folder that the run was
            trained from.
        implementation: the Python code of the run's layer, as FILE.py:CLASS or MODULE:CLASS. The
            code that a config.json names is not run unless it is given here: the folder may come
            from another user.

    Raises:
        ConfigError: the run does not exist, is damaged, or its weights do not fit its config.
        DataError, ImplementationError: its images or its implementation cannot be loaded.
    """
    path = Path(path)
    weights, config, step = read_run(path)
    if config is None:
        return _run_of_weights(path, weights, data_dir)
    if config.task != "mnist":
        raise ExplorerError(
            f"{path} is a run on {config.subject}: expected a run on images (--task mnist)"
        )
    if is_own_code(config.implementation):
        require_given(config.implementation, path, implementation is not None)
        config = replace(config, implementation=implementation or config.implementation)
    _check_sizes(path, config, weights)
    images = load_images(config.dataset, data_dir or config.data_dir or Path("data"))
    height, width = images.test_images.shape[1:]
    _, input_size = sequence_shape(height, width, config.sequence)
    model = build_model(config, input_size, images.num_classes)
    load_weights(model, weights)
    return LoadedRun(
        printable(config.layer) + ("" if step is None else f", step {step}"),
        model.float(),
        images,
        config.sequence,
        printable(path.resolve().name),
        accuracy=_accuracy(path, config) if step is None else None,
    )


def read_run(path: Path) -> SavedRun:
    """Read the weights of a run, and its configuration if there is one.

    Raises:
        ConfigError: the folder or file does not exist, or a file is damaged.
    """
    try:
        file = path / WEIGHTS_FILE if path.is_dir() else path
        is_file = file.is_file()
        has_config = file.with_name(CONFIG_FILE).exists()
    except (OSError, ValueError) as error:  # the path is too long, or a folder cannot be searched
        raise ExplorerError(f"cannot read a run at {path}: {error}") from error
    if is_file:
        # The copy in train.py's own file of weights is protected by a digest, unlike config.json.
        config = protected_copy(file.parent) if file.name == WEIGHTS_FILE else None
        if config is None and has_config:
            config = Config.load(file.parent)
        return SavedRun(read_weights(file), config)
    if checkpoint.exists(path):
        latest, _ = checkpoint.read_latest(path)
        return SavedRun(latest.with_prefix("model/"), load_config(path), latest.step)
    raise ExplorerError(
        f"no run at {path}: expected a folder with {WEIGHTS_FILE} or a checkpoint, or a file of "
        "weights"
    )


def _accuracy(path: Path, config: Config) -> float | None:
    """The test accuracy after the last epoch; None without a readable file of metrics."""
    folder = path if path.is_dir() else path.parent
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        return float(metrics[f"{config.split}_accuracy"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _run_of_weights(path: Path, weights: dict[str, Tensor], data_dir: Path | None) -> LoadedRun:
    model = infer_classifier(weights)
    features = int(model.layer.input_size)  # type: ignore[arg-type]  # an attribute of a Module
    if features not in DATASET_BY_FEATURES:
        raise ExplorerError(
            f"cannot infer the data set of {path} from steps of size {features}: "
            f"put the run's {CONFIG_FILE} into the same folder"
        )
    images = load_images(DATASET_BY_FEATURES[features], data_dir or Path("data"))
    if model.readout.out_features != images.num_classes:
        raise ExplorerError(
            f"readout.weight in {path} has {model.readout.out_features} rows: expected "
            f"{images.num_classes}, the number of classes of {images.name}"
        )
    name = printable(f"{type(model.layer).__name__} ({path.name})")
    return LoadedRun(name, model, images, "rows", printable(path.name))


def _check_sizes(path: Path, config: Config, weights: dict[str, Tensor]) -> None:
    """Raise if the configuration is of a larger model than the weights, before it is built.

    Raises:
        ExplorerError: the model has other sizes.
    """
    if config.num_layers > len(weights):
        raise ExplorerError(
            f"{path / CONFIG_FILE} has num_layers {config.num_layers}, but the run's weights are "
            f"{len(weights)} tensors: they are of different runs"
        )
    readout = weights.get("readout.weight")
    width = config.hidden_size * (2 if config.bidirectional else 1)
    if (
        not is_own_code(config.implementation)
        and readout is not None
        and readout.shape[1:] != (width,)
    ):
        raise ExplorerError(
            f"{path / CONFIG_FILE} has hidden_size {config.hidden_size}, but readout.weight is "
            f"{tuple(readout.shape)}: they are of different runs"
        )
    if config.hidden_size > sum(weight.numel() for weight in weights.values()):
        raise ExplorerError(
            f"{path / CONFIG_FILE} has hidden_size {config.hidden_size}, but the run has fewer "
            "weights: they are of different runs"
        )
