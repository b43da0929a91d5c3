"""Train a recurrent layer, written by hand or torch.nn's own, to name images read as sequences.

images (n, height, width) uint8    sequenced_mnist
  -> batches (batch, time, features)
  -> recurrent layer               scratch_cells, builtin_models, or a file of your own
  -> logits (batch, classes)       shared_interface.SequenceClassifier
  -> steps, tests, checkpoints     training_loop
  -> a run folder                  weights, configuration, metrics, pictures

python train.py
python train.py --cell gru --implementation builtin
python train.py --resume runs/NAME
python train.py --evaluate runs/NAME
python train.py --compare runs/NAME runs/OTHER
"""

import dataclasses
from functools import partial
from pathlib import Path

from command_line.program import clean_exit
from training_loop.commands.options import Request, parse_request
from training_loop.config import Config
from training_loop.runtime.startup import (
    exit_on_ctrl_c,
    imports_uncollected,
    keep_freed_memory,
)


def train(config: Config, resume: bool = False) -> Path:
    """Load the images, build the model, train and test it epoch by epoch, fill the run's folder.

    Args:
        config: what to do.
        resume: go on with the unfinished run in ``config.run_dir``, whose configuration this is.

    Returns:
        The run's folder.

    Raises:
        ConfigError, DataError, ImplementationError: an option, a file or a folder cannot be used.
        Stopped: Ctrl-C or SIGTERM came; a checkpoint has been written.
    """
    # These take seconds to import; --help and a bad option have been answered before.
    with exit_on_ctrl_c("train.py"), imports_uncollected():
        import torch

        from sequenced_mnist import Batches, load_images
        from training_loop.initialization import initialize
        from training_loop.loop import train_epoch
        from training_loop.model import build_model, count_parameters
        from training_loop.predict import accuracy, score
        from training_loop.runs.folder import open_folder
        from training_loop.runs.run import Run
        from training_loop.runtime.accelerator import describe, start_accelerator
        from training_loop.runtime.signals import heeding_signals
        from training_loop.trainer import Training

    accelerator = start_accelerator(config.device, config.precision)
    say = partial(accelerator.print, flush=True)  # of several processes only the first speaks
    with accelerator.main_process_first():  # it downloads what the others then find
        images = load_images(config.dataset, config.data_dir)
    if config.validation:
        images = images.for_validation()
    config = config.settled(images.name, accelerator.device.type)

    # Both sets stay on the training device as uint8; sequences are made a batch at a time.
    share = (accelerator.device, accelerator.process_index, accelerator.num_processes)
    size = config.batch_size
    train_set = Batches(images.train_images, images.train_labels, config.sequence, size, *share)
    # Without a gradient to keep, four times as many take no more memory, and less time each.
    test_set = Batches(images.test_images, images.test_labels, config.sequence, 4 * size, *share)

    torch.manual_seed(config.seed)  # once: for the weights, then for dropout
    model = build_model(config, train_set.features, images.num_classes)
    initialize(model.layer, config.init, train_set.time)

    name = f"{images.name}-{config.sequence}-{config.layer}"
    with (
        open_folder(config, name, resume, accelerator) as folder,
        heeding_signals(accelerator) as stop,
    ):
        config = dataclasses.replace(config, run_dir=folder)
        training = Training(config, accelerator, model, train_set.num_images)
        run = Run(folder, training, resume)
        for note in images.note, run.note:
            if note:
                say(note)
        say(
            f"data    {images.name}: {train_set.num_images} training and {test_set.num_images} "
            f"{config.tested_on} images, by {config.sequence}: "
            f"{train_set.time} steps of {train_set.features}"
        )
        say(
            f"model   {config.layer}, {config.num_layers} x {config.hidden_size}, "
            f"{count_parameters(model)} parameters, seed {config.seed}, {config.recipe} recipe"
        )
        say(f"device  {describe(accelerator)}")

        with run.kept_when_it_breaks_off():
            while training.epoch <= config.epochs:
                look = train_epoch(training, run, train_set, stop)
                run.save()  # a run that is taken up here goes on with the test

                scores = score(
                    accelerator, training.model, stop.between(test_set), test_set.num_images
                )
                epoch = training.end_epoch(accuracy(scores, test_set.labels), look)
                run.log_epoch(test_set)
                say(
                    f"epoch {epoch.number}: training loss {epoch.training_loss:.4f}, "
                    f"{config.tested_on} accuracy {100 * epoch.accuracy:.2f} %, "
                    f"{epoch.images_per_second:.0f} images/s"
                )
            run.finish(images, scores)

    say(
        f"result  {images.name}: {config.tested_on} accuracy {100 * epoch.accuracy:.2f} % after "
        f"epoch {config.epochs} ({config.layer}, {config.sequence}, {training.seconds:.1f} s) "
        f"-> {folder}"
    )
    say(f"next    python train.py --evaluate {folder}")
    say(f"        python train.py --compare {folder} runs/ANOTHER")
    say(f"        python -m gate_explorer {folder} --label 7")
    say(f"        tensorboard --logdir {folder.parent}")
    return folder


def main(request: Request) -> None:
    """Do what the command line asks for."""
    if request.compare:
        from training_loop.commands.compare import compare

        compare(request.compare)
    elif request.evaluate:
        from training_loop.commands.evaluate import evaluate

        evaluate(request.config)
    else:
        keep_freed_memory()
        train(request.config, resume=request.resume is not None)


if __name__ == "__main__":
    with clean_exit("train.py"):
        main(parse_request())
