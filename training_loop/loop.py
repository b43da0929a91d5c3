"""The training pass of one epoch: a step on every batch, with metrics and checkpoints."""

from training_loop.reports.compilation import CompilationReport
from training_loop.reports.progress import progress_bar
from training_loop.runs.run import Run
from training_loop.runtime.contention import ThreadMonitor
from training_loop.runtime.signals import StopFlag
from training_loop.tasks.task import Sequences
from training_loop.trainer import LOG_EVERY, Trainer


def train_epoch(
    trainer: Trainer, run: Run, train_set: Sequences, stop: StopFlag, compilation: CompilationReport
) -> None:
    """Train on the remaining batches of the current epoch.

    Args:
        trainer: takes the steps.
        run: receives metrics and writes checkpoints.
        train_set: training sequences; each epoch has its own order.
        stop: checked between two steps.
        compilation: reports the steps that compile the model.

    Raises:
        ConfigError: the run has diverged, or a checkpoint cannot be written.
        Stopped: a signal has arrived.
    """
    config = trainer.config
    done = trainer.step_in_epoch  # more than 0 if the run was resumed within an epoch
    title = f"epoch {trainer.epoch}/{config.epochs}"
    if trainer.epochs:
        title += f", {config.split} accuracy {100 * trainer.epochs[-1].accuracy:.2f} %"
    with (
        trainer.timed_pass(),
        progress_bar(title, len(train_set), done, quiet=not run.is_main_process) as show,
    ):
        monitor, warned = ThreadMonitor(), not run.is_main_process or trainer.step > 0
        for batch in stop.iterate(train_set.shuffled(config.seed, trainer.epoch, done)):
            with compilation.watch("step", f"training step {trainer.step + 1}"):
                trainer.take_step(batch)
            if trainer.step % LOG_EVERY == 0:
                metrics = trainer.metrics()
                show(metrics)
                if not warned and trainer.accelerator.device.type == "cpu":
                    warned = True
                    if line := monitor.warning():
                        print(line, flush=True)
                run.log(metrics)
            if config.checkpoint_every and trainer.step % config.checkpoint_every == 0:
                run.save()
        trainer.read_losses()  # waits for the device, so that its time is counted
