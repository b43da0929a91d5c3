"""The task of a configuration."""

from accelerate import Accelerator

from training_loop.config import Config
from training_loop.tasks.images import ImageTask
from training_loop.tasks.task import Placement, Task


def load_task(config: Config, accelerator: Accelerator) -> Task:
    """Load the task that ``config`` names, on the device of the run.

    Raises:
        DataError: a file of the data set cannot be used.
    """
    return ImageTask.load(config, Placement.of(accelerator))
