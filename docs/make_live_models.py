"""Train the models of the live page: python docs/make_live_models.py --data-dir FOLDER

Trains an RNN, a GRU and an LSTM with 48 units on the rows of MNIST (five minutes on one CPU core),
or loads them from build/live_models if they are there. Their weights, rounded to float16, and a few
test images are written into docs/live_models.safetensors, so that the documentation can be built
without MNIST. `docs/live_page.py` makes the page from this file.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from command_line.program import clean_exit, parse_arguments
from gate_explorer.inputs.load_run import LoadedRun, load_run
from gate_explorer.live.page import sample_images
from sequenced_mnist import to_sequences
from train import train
from training_loop.config import Config
from training_loop.predict import accuracy

MODELS = Path(__file__).parent / "live_models.safetensors"
RUNS = Path("build/live_models")
CELLS = ("rnn", "gru", "lstm")
HIDDEN_SIZE = 48
EPOCHS = 8


@dataclass(frozen=True)
class Arguments:
    """Train the three models of the live page, and store their weights and some test images."""

    data_dir: Path = Path("data")
    """folder that contains MNIST/raw, or to which MNIST is downloaded"""


def main(data_dir: Path) -> None:
    """Train the models that do not exist yet, and write the file."""
    runs = {cell: load_run(train_or_reuse(cell, data_dir), data_dir) for cell in CELLS}
    tensors: dict[str, Tensor] = {}
    about = {}
    for cell, run in runs.items():
        rounded = {name: weight.half() for name, weight in run.model.state_dict().items()}
        run.model.load_state_dict(rounded)  # as float32 again
        about[cell] = {"name": run.name, "accuracy": test_accuracy(run)}
        tensors |= {f"{cell}.{name}": weight for name, weight in rounded.items()}
        print(f"{cell}: test accuracy {100 * about[cell]['accuracy']:.2f} %")
    samples = sample_images(runs["lstm"].images)
    tensors["samples.pixels"] = torch.stack([sample.pixels for sample in samples])
    tensors["samples.labels"] = torch.tensor([sample.label for sample in samples])
    tensors["samples.indices"] = torch.tensor([sample.index for sample in samples])
    save_file(tensors, MODELS, metadata={"models": json.dumps(about)})


def train_or_reuse(cell: str, data_dir: Path) -> Path:
    """The run folder of a model; the model is trained if the folder does not exist."""
    folder = RUNS / cell
    if not (folder / "model.safetensors").is_file():
        train(
            Config(
                cell=cell,  # type: ignore[arg-type]
                dataset="mnist",
                data_dir=data_dir,
                run_dir=folder,
                hidden_size=HIDDEN_SIZE,
                num_layers=1,
                epochs=EPOCHS,
                device="cpu",
            )
        )
    return folder


@torch.no_grad()
def test_accuracy(run: LoadedRun) -> float:
    """Share of the test images that the model classifies correctly."""
    logits = run.model(to_sequences(run.images.test_images, run.sequence))
    return accuracy(logits, run.images.test_labels)


if __name__ == "__main__":
    with clean_exit("make_live_models"):
        arguments = parse_arguments(Arguments, "python docs/make_live_models.py")
        main(arguments.data_dir)
