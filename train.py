"""Train a recurrent layer, written by hand or torch.nn's own, to name images read as sequences.

images (n, height, width) uint8    sequenced_mnist
  -> batches (batch, time, features)
  -> recurrent layer               scratch_cells, builtin_models, or a file of your own
  -> logits (batch, classes)       shared_interface.SequenceClassifier
  -> loss, accuracy                training_loop
  -> a run folder                  weights, configuration, metrics, training curve

python train.py
python train.py --cell gru --implementation builtin
"""

import dataclasses
import time

from training_loop.command_line import clean_exit, parse_arguments, sudden_interrupts
from training_loop.config import Config


def train(config: Config) -> None:
    """Load the images, build the model, train and test it epoch by epoch, write the run folder.

    Raises:
        ConfigError, DataError, ImplementationError: an option, a file or a folder cannot be used.
    """
    # These take seconds to import; --help and a bad option have been answered before.
    with sudden_interrupts("train.py"):
        import torch

        from sequenced_mnist import Batches, load_images
        from training_loop.device import describe, start_accelerator
        from training_loop.loop import Epoch, evaluate, train_epoch
        from training_loop.model import build_model, count_parameters
        from training_loop.progress import progress
        from training_loop.run_folder import new_run_folder, write_run

    accelerator = start_accelerator(config.device)
    images = load_images(config.dataset, config.data_dir)
    schedule = config.schedule_for(images.name)

    # Both sets stay on the training device as uint8; sequences are made a batch at a time.
    how = (config.sequence, schedule.batch_size, accelerator.device)
    train_set = Batches(images.train_images, images.train_labels, *how)
    test_set = Batches(images.test_images, images.test_labels, *how)

    torch.manual_seed(config.seed)  # once: for the weights, then for dropout
    model = build_model(config, train_set.features, images.num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=schedule.learning_rate)
    model, optimizer = accelerator.prepare(model, optimizer)

    name = f"{images.name}-{config.sequence}-{config.layer}"
    with new_run_folder(config.run_dir, name) as folder:
        # All that the options left open is settled now; the folder keeps it as settled.
        settled = {"dataset": images.name, "device": accelerator.device.type, "run_dir": folder}
        config = dataclasses.replace(config, **settled, **schedule._asdict())
        if images.note:
            print(images.note)
        print(
            f"data    {images.name}: {train_set.num_images} training and {test_set.num_images} "
            f"test images, by {config.sequence}: {train_set.time} steps of {train_set.features}"
        )
        print(
            f"model   {config.layer}, {config.num_layers} x {config.hidden_size}, "
            f"{count_parameters(model)} parameters, seed {config.seed}"
        )
        print(f"device  {describe(accelerator.device)}", flush=True)

        history = []
        start = time.perf_counter()
        for number in range(1, schedule.epochs + 1):
            with progress(f"epoch {number}/{schedule.epochs}", len(train_set)) as counted:
                batches = counted(train_set.shuffled(config.seed, number))
                trained = train_epoch(accelerator, model, optimizer, batches)
            history.append(Epoch(number, trained, test_accuracy=evaluate(model, test_set)))
            print(history[-1], flush=True)
        seconds = time.perf_counter() - start
        write_run(folder, config, accelerator.unwrap_model(model), history, seconds)

    print(
        f"result  {images.name}: test accuracy {100 * history[-1].test_accuracy:.2f} % after epoch "
        f"{schedule.epochs} ({config.layer}, {config.sequence}, {seconds:.1f} s) -> {folder}"
    )


if __name__ == "__main__":
    with clean_exit("train.py"):
        train(parse_arguments(Config, "train.py"))
