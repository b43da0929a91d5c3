"""What a run's model makes of the images that it is tested on."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from command_line.errors import ConfigError, one_line
from sequenced_mnist import Batches, load_images
from training_loop.config import Config
from training_loop.model import build_model
from training_loop.predict import accuracy, score
from training_loop.reports.plots import confusion
from training_loop.runs import checkpoint
from training_loop.runs.folder import WEIGHTS
from training_loop.runtime.accelerator import start_accelerator

BATCH = 500
"""Images tested at a time."""


def evaluate(config: Config) -> float:
    """Test the model of a run, finished or not, and say how it does on each class.

    Args:
        config: of the run, with its folder as ``run_dir``.

    Returns:
        The share of the tested images named rightly, from 0 to 1.

    Raises:
        ConfigError, DataError, ImplementationError: a file, folder or device cannot be used.
    """
    assert config.run_dir is not None
    weights, which = weights_of(config.run_dir)
    accelerator = start_accelerator(config.device, config.precision)
    images = load_images(config.dataset, config.data_dir)
    if config.validation:
        images = images.for_validation()
    share = (accelerator.device, accelerator.process_index, accelerator.num_processes)
    batches = Batches(images.test_images, images.test_labels, config.sequence, BATCH, *share)
    model = build_model(config, batches.features, images.num_classes)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(f"{config.run_dir} holds another model: {one_line(error)}") from error
    model = accelerator.prepare(model)
    scores = score(accelerator, model, batches, batches.num_images)
    share_right = accuracy(scores, batches.labels)
    if accelerator.is_main_process:
        Console().print(by_class(scores.cpu(), images.test_labels, images.class_names))
        print(
            f"result  {images.name}: {config.tested_on} accuracy {100 * share_right:.2f} % "
            f"({config.layer}, {config.sequence}, {which} of {config.run_dir})"
        )
    return share_right


def weights_of(folder: Path) -> tuple[dict[str, Tensor], str]:
    """The weights of a run, by torch.nn's names, and which they are.

    Raises:
        ConfigError: it has none, or they are damaged.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        latest, _ = checkpoint.read_latest(folder)
        return latest.below("model/"), f"step {latest.step}"
    try:
        return load_file(file), "the weights"
    except (SafetensorError, OSError) as error:
        raise ConfigError(
            f"{file} is damaged or no safetensors file ({one_line(error)})"
        ) from error


def by_class(scores: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Table:
    """How each class fares: (n, classes) logits, (n,) labels."""
    counts = confusion(scores, labels)  # (true, named)
    table = Table("class", "images", "named rightly", "most often taken for")
    for true, row in enumerate(counts):
        total, right = int(row.sum()), int(row[true])
        wrong = row.clone()
        wrong[true] = 0
        number, named = wrong.max(dim=0)
        taken_for = f"{class_names[int(named)]} ({int(number)})" if number else ""
        rightly = f"{right} ({100 * right / total:.1f} %)" if total else ""
        table.add_row(class_names[true], str(total), rightly, taken_for)
    return table
