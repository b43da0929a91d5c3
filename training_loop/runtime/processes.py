"""Several processes of one run: all of them must have the same options and data."""

from accelerate import Accelerator
from accelerate.utils import gather_object

from command_line.errors import ConfigError
from training_loop.config import ResolvedConfig

PER_PROCESS = {"data_dir", "run_dir"}
"""Options that may differ between machines; the main process decides on the run's folder."""


def require_same_options(
    accelerator: Accelerator, config: ResolvedConfig, num_sequences: int
) -> None:
    """Compare the options of all processes, which would otherwise train different models.

    Args:
        accelerator: the processes of the run.
        config: options of this process.
        num_sequences: number of training sequences that this process has.

    Raises:
        ConfigError: an option differs; in every process, with the first difference.
    """
    if accelerator.num_processes == 1:
        return
    own = {name: repr(value) for name, value in vars(config).items() if name not in PER_PROCESS}
    own["number of training sequences"] = repr(num_sequences)
    every = gather_object([own])
    for name in own:
        values = [each.get(name, "unknown") for each in every]
        for process, value in enumerate(values):
            if value != values[0]:
                accelerator.wait_for_everyone()
                accelerator.end_training()  # leave the group together: none aborts at its exit
                raise ConfigError(
                    f"{name} is {values[0]} in process 0 and {value} in process {process}: "
                    "start every process with the same options"
                )
