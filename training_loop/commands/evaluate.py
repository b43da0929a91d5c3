"""``train.py --evaluate``: accuracy of a run's model, for images in total and per class."""

from pathlib import Path

from rich.console import Console
from torch import Tensor

from command_line.errors import ConfigError, one_line, printable
from training_loop.config import Config
from training_loop.model import build_model
from training_loop.predict import predict
from training_loop.runs import checkpoint, final_weights
from training_loop.runs.folder import MODEL
from training_loop.runs.saved_config import config_warning
from training_loop.runtime.accelerator import start_accelerator
from training_loop.tasks.load import load_task


def evaluate(config: Config) -> float:
    """Test the model of a run, finished or not, and print its result; for images, per class too.

    Args:
        config: configuration of the run, with its folder as ``run_dir``.

    Returns:
        The share of right answers, from 0 to 1.

    Raises:
        ConfigError, DataError, ImplementationError: a file, folder or device cannot be used.
    """
    assert config.run_dir is not None
    weights, source = load_weights(config.run_dir)
    accelerator = start_accelerator(config.device, config.precision)
    if warning := config_warning(config.run_dir):
        accelerator.print(warning)
    task = load_task(config, accelerator)
    model = build_model(config, task.test_set.features, task.outputs, task.answers)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = one_line(error)
        raise ConfigError(f"{config.run_dir} has the weights of another model: {reason}") from error
    model = accelerator.prepare(model)
    outputs = predict(accelerator, model, task.test_set, task.test_set.num_sequences)
    result = task.measure(outputs)
    if accelerator.is_main_process:
        if table := task.table(outputs.cpu()):
            Console().print(table)
        print(
            f"result  {task.config.subject}: {task.summary(result)} "
            + printable(f"({config.reader}, {source} of {config.run_dir})")
        )
    return result.accuracy


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
