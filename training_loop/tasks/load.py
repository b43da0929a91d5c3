"""The task of a configuration."""

from accelerate import Accelerator

from training_loop.config import Config
from training_loop.tasks.images import ImageTask
from training_loop.tasks.memory import AddingTask, CopyTask
from training_loop.tasks.task import Placement, Task

TASKS = {"mnist": ImageTask.load, "adding": AddingTask, "copy": CopyTask}


def load_task(config: Config, accelerator: Accelerator) -> Task:
    """Load the task that ``config`` names, on the device of the run.

    Raises:
        DataError: a file of the data set cannot be used.
    """
    return TASKS[config.task](config, Placement.of(accelerator))
