"""``train.py --evaluate``: accuracy of a run's model, in total and per class."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from torch import Tensor

from command_line.errors import ConfigError, one_line, printable
from sequenced_mnist import Batches, load_images
from training_loop.config import DATA_DIR, Config
from training_loop.model import build_model
from training_loop.predict import accuracy, predict
from training_loop.reports.plots import confusion
from training_loop.runs import checkpoint, final_weights
from training_loop.runs.folder import MODEL
from training_loop.runs.saved_config import config_warning
from training_loop.runtime.accelerator import start_accelerator

BATCH_SIZE = 500
"""Images per batch. There is no backward pass, so it can be larger than in training."""


def evaluate(config: Config) -> float:
    """Test the model of a run, finished or not, and print its accuracy per class and in total.

    Args:
        config: configuration of the run, with its folder as ``run_dir``.

    Returns:
        The share of images classified correctly, from 0 to 1.

    Raises:
        ConfigError, DataError, ImplementationError: a file, folder or device cannot be used.
    """
    assert config.run_dir is not None
    weights, source = load_weights(config.run_dir)
    accelerator = start_accelerator(config.device, config.precision)
    if warning := config_warning(config.run_dir):
        accelerator.print(warning)
    images = load_images(config.dataset, config.data_dir or DATA_DIR)
    if config.validation:
        images = images.for_validation()
    placement = (accelerator.device, accelerator.process_index, accelerator.num_processes)
    batches = Batches(
        images.test_images, images.test_labels, config.sequence, BATCH_SIZE, *placement
    )
    model = build_model(config, batches.features, images.num_classes)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = one_line(error)
        raise ConfigError(f"{config.run_dir} has the weights of another model: {reason}") from error
    model = accelerator.prepare(model)
    logits = predict(accelerator, model, batches, batches.num_images)
    correct = accuracy(logits, batches.labels)
    if accelerator.is_main_process:
        Console().print(class_table(logits.cpu(), images.test_labels, images.class_names))
        print(
            f"result  {images.name}: {config.split} accuracy {100 * correct:.2f} % "
            + printable(f"({config.layer}, {config.sequence}, {source} of {config.run_dir})")
        )
    return correct


def load_weights(folder: Path) -> tuple[dict[str, Tensor], str]:
    """The final weights of a run, or those of its latest checkpoint; and which of the two.

    Raises:
        ConfigError: the folder has neither, or the file is damaged.
    """
    file = folder / MODEL
    if not file.is_file():
        latest, _ = checkpoint.read_latest(folder)
        return latest.with_prefix("model/"), f"step {latest.step}"
    return final_weights.read(file)[0], "final weights"


def class_table(logits: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Table:
    """Accuracy per class, from (n, classes) logits and (n,) labels."""
    counts = confusion(logits, labels)  # (true, predicted)
    table = Table("class", "images", "correct", "most frequent mistake")
    for true, row in enumerate(counts):
        total, correct = int(row.sum()), int(row[true])
        wrong = row.clone()
        wrong[true] = 0
        number, predicted = wrong.max(dim=0)
        mistake = f"{class_names[int(predicted)]} ({int(number)})" if number else ""
        share = f"{correct} ({100 * correct / total:.1f} %)" if total else ""
        table.add_row(class_names[true], str(total), share, mistake)
    return table
