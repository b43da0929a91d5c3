"""One epoch of training: a step on every batch, looks and checkpoints in between."""

from sequenced_mnist import Batches
from training_loop.reports.progress import progress_bar
from training_loop.runs.run import Run
from training_loop.runtime.signals import Stop
from training_loop.trainer import LOOK_EVERY, Look, Training


def train_epoch(training: Training, run: Run, train_set: Batches, stop: Stop) -> Look:
    """Train for what is left of the epoch under way.

    Args:
        training: takes the steps.
        run: told what they come to, and asked for a checkpoint when one is due.
        train_set: what is read, in the epoch's own order.
        stop: heeded between two steps.

    Returns:
        The look after the last step.

    Raises:
        ConfigError: the run diverged, or a checkpoint cannot be written.
        Stopped: a signal came.
    """
    config = training.config
    done = training.step_in_epoch  # not 0 where a run is taken up in mid-epoch
    title = f"epoch {training.epoch}/{config.epochs}"
    if training.epochs:
        title += f", {config.tested_on} accuracy {100 * training.epochs[-1].accuracy:.2f} %"
    training.start_pass()
    with progress_bar(title, len(train_set), done, quiet=not run.writes) as show:
        for batch in stop.between(train_set.shuffled(config.seed, training.epoch, done)):
            training.take_step(batch)
            if training.step % LOOK_EVERY == 0:
                look = training.look()
                show(look)
                run.log(look)
            if config.checkpoint_every and training.step % config.checkpoint_every == 0:
                run.save()
    return training.look()
