"""train.py as its user meets it: processes, exit statuses, files; and the story it tells."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import datasets

from command_line.errors import ConfigError
from sequenced_mnist import Batches, load_images
from sequenced_mnist.batches import Batch
from shared_interface import SequenceClassifier
from tests.helpers.mnist_files import TRAIN_IMAGES, write_mnist
from tests.helpers.paths import ROOT
from tests.helpers.runs import metrics, run, small
from train import train
from training_loop.predict import accuracy, score
from training_loop.runtime.accelerator import start_accelerator

FILES = {
    ".lock",
    "config.json",
    "confusion.png",
    "curve.png",
    "metrics.csv",
    "metrics.json",
    "mistakes.png",
    "model.safetensors",
}


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a plain run on the digits prints, and its run folder."""
    folder = tmp_path_factory.mktemp("plain")
    done = run("--dataset", "digits", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    (run_folder,) = (folder / "runs").iterdir()
    return done.stdout, run_folder


def test_a_plain_run_learns_the_digits_and_says_what_it_used(
    plain_run: tuple[str, Path],
) -> None:
    printed, folder = plain_run
    data, model, device, *epochs, result, evaluate, compare, explore, board = printed.splitlines()
    assert data == "data    digits: 1433 training and 364 test images, by rows: 8 steps of 8"
    assert model == "model   scratch lstm, 2 x 128, 204042 parameters, seed 0, strong recipe"
    assert device.startswith("device  ")
    assert len(epochs) == 40
    for number, line in enumerate(epochs, start=1):
        assert re.fullmatch(
            rf"epoch {number}: training loss \d+\.\d{{4}}, "
            r"test accuracy \d+\.\d\d %, \d+ images/s",
            line,
        )
    found = re.fullmatch(
        r"result  digits: test accuracy (\S+) % after epoch 40 "
        r"\(scratch lstm, rows, \S+ s\) -> (\S+)",
        result,
    )
    assert found
    assert float(found[1]) >= 95
    assert found[2] == (run := f"runs/{folder.name}")
    assert evaluate == f"next    python train.py --evaluate {run}"
    assert compare == f"        python train.py --compare {run} runs/ANOTHER"
    assert explore == f"        python -m gate_explorer {run} --label 7"
    assert board == "        tensorboard --logdir runs"


def test_a_run_folder_holds_the_model_that_was_tested(plain_run: tuple[str, Path]) -> None:
    printed, folder = plain_run
    names = {path.name for path in folder.iterdir()}
    (events,) = names - FILES
    assert events.startswith("events.out.tfevents.")
    assert names == FILES | {events}
    config = json.loads((folder / "config.json").read_text())
    found = metrics(folder)
    settled = ("dataset", "epochs", "batch_size", "learning_rate", "run_dir")
    assert [config[name] for name in settled] == ["digits", 40, 50, 5e-3, f"runs/{folder.name}"]
    assert config["device"] in ("cpu", "cuda", "mps")
    assert len(found["epochs"]) == 40
    assert len(found["step_losses"]) == 40 * 29

    # The weights load into torch.nn's own layer, and name the test digits as the run says.
    model = SequenceClassifier(nn.LSTM(8, 128, 2, batch_first=True), 10)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    digits = load_images("digits", folder)
    tested = Batches(digits.test_images, digits.test_labels, "rows", 50)
    scores = score(start_accelerator("cpu"), model, tested, tested.num_images)
    assert accuracy(scores, tested.labels) == found["test_accuracy"]
    assert f"test accuracy {100 * found['test_accuracy']:.2f} % after" in printed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--cell", "lsm"], "--cell is 'lsm': expected rnn, gru or lstm"),
        (["--epochs", "-1"], "epochs is -1: expected at least 1"),
        (["--hidden-size", "0"], "hidden_size is 0: expected at least 1"),
        (["--dropout", "2"], "dropout is 2.0: expected a probability"),
        (["--batch-sizes", "3"], "unrecognized option --batch-sizes: did you mean --batch-size?"),
    ],
)
def test_a_bad_argument_is_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"train.py: error: {complaint}")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_one_line_and_status_2(tmp_path: Path) -> None:
    path = write_mnist(tmp_path) / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:1000])
    done = run("--data-dir", tmp_path, "--run-dir", tmp_path / "run", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"train.py: error: {path} is truncated: 1000 bytes")
    assert not (tmp_path / "run").exists()


# What follows needs no process of its own.


def step_losses(tmp_path: Path, **options: object) -> list[float]:
    train(small(tmp_path, **options))
    losses: list[float] = metrics(tmp_path / "run")["step_losses"]
    return losses


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "dropout": 0.3}])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_scratch_and_builtin_draw_the_same_curve(
    tmp_path: Path, cell: str, options: dict[str, object]
) -> None:
    scratch, builtin, other_seed = (
        step_losses(tmp_path / name, cell=cell, implementation=name.rstrip("2"), **options, **seed)
        for name, seed in (("scratch", {}), ("builtin", {}), ("builtin2", {"seed": 1}))
    )
    assert scratch == pytest.approx(builtin, rel=1e-4)
    assert builtin != pytest.approx(other_seed, rel=1e-2)


def test_a_run_can_be_repeated_exactly(tmp_path: Path) -> None:
    options = {"cell": "gru", "dropout": 0.5, "epochs": 2}
    assert step_losses(tmp_path / "a", **options) == step_losses(tmp_path / "b", **options)


@pytest.mark.parametrize("sequence", ["columns", "pixels", "permuted"])
def test_every_sequence_trains(tmp_path: Path, sequence: str) -> None:
    losses = step_losses(tmp_path, sequence=sequence, implementation="builtin", cell="rnn")
    assert sum(losses[-5:]) < sum(losses[:5])


def test_a_users_own_cell_trains(tmp_path: Path) -> None:
    own = ROOT / "examples" / "minimal_gated_cell.py"
    losses = step_losses(tmp_path, implementation=f"{own}:MinimalGatedCell")
    assert sum(losses[-5:]) < sum(losses[:5])


def test_mnist_is_taken_where_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mnist(tmp_path)
    train(small(tmp_path, dataset="auto", data_dir=tmp_path, epochs=None))
    printed = capsys.readouterr().out
    assert "data    mnist: 30 training and 12 test images, by rows: 28 steps of 28" in printed
    assert "result  mnist: test accuracy " in printed
    assert "after epoch 2 " in printed
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["dataset"], config["data_dir"]) == ("mnist", str(tmp_path))


def test_auto_without_mnist_says_why_it_trains_on_digits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("no_proxy", "*")
    train(small(tmp_path, dataset="auto", data_dir=tmp_path / "data"))
    printed = capsys.readouterr().out
    first, *_ = printed.splitlines()
    assert re.search(r"is missing and cannot be downloaded .*Connection refused", first)
    assert "\nresult  digits: " in printed


def test_a_run_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_text("precious")
    with pytest.raises(ConfigError, match="holds files already"):
        train(small(tmp_path))
    assert (tmp_path / "run" / "model.safetensors").read_text() == "precious"


def test_torchs_generator_is_seeded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeding again, in every epoch say, would draw the same dropout over and over."""
    seeds: list[int] = []
    seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda value: seeds.append(value) or seed(value))
    train(small(tmp_path, epochs=2, seed=5))
    assert seeds == [5]


def test_a_learning_rate_of_almost_nought_leaves_the_first_weights(tmp_path: Path) -> None:
    train(small(tmp_path, learning_rate=1e-30, num_layers=1, seed=3, recipe="tutorial"))
    torch.manual_seed(3)
    untrained = SequenceClassifier(nn.LSTM(8, 16), 10).state_dict()
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(weights[name], untrained[name]) for name in untrained)


def test_every_epoch_has_an_order_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []
    shuffled = Batches.shuffled

    def spy(batches: Batches, seed: int, epoch: int, start: int) -> Iterator[Batch]:
        asked.append((seed, epoch, start))
        return shuffled(batches, seed, epoch, start)

    monkeypatch.setattr(Batches, "shuffled", spy)
    train(small(tmp_path, epochs=3, seed=5))
    assert asked == [(5, 1, 0), (5, 2, 0), (5, 3, 0)]
