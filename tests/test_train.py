"""train.py as a process (output, exit status, files) and as a function."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import datasets

from command_line.errors import ConfigError
from sequenced_mnist import Batches, DataError, load_images
from sequenced_mnist.batches import Batch
from shared_interface import SequenceClassifier
from tests.helpers.mnist_files import TRAIN_IMAGES, write_mnist
from tests.helpers.paths import ROOT
from tests.helpers.runs import ENVIRONMENT, TRAIN, metrics, run, run_here, small
from train import train
from training_loop.commands.options import parse_options
from training_loop.config import Config
from training_loop.initialization import initialize
from training_loop.model import build_model
from training_loop.predict import accuracy, predict
from training_loop.runtime.accelerator import start_accelerator
from training_loop.tasks.objective import classification
from training_loop.trainer import Trainer

pytestmark = pytest.mark.usefixtures("blank_plots")

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
def default_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and run folder of a run on the digits with default options."""
    folder = tmp_path_factory.mktemp("default")
    done = run("--dataset", "digits", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    (run_folder,) = (folder / "runs").iterdir()
    return done.stdout, run_folder


@pytest.mark.slow
def test_a_default_run_learns_the_digits_and_prints_its_settings(
    default_run: tuple[str, Path],
) -> None:
    printed, folder = default_run
    data, model, device, backend, *epochs, result, evaluate, explore, board = printed.splitlines()
    assert data == "data    digits: 1433 training and 364 test images, by rows: 8 steps of 8"
    assert model == "model   scratch lstm, 2 x 128, 204042 parameters, seed 0, strong recipe"
    assert device.startswith("device  ")
    assert re.fullmatch(r"backend (c|bptt|plain): \S.*", backend)
    assert len(epochs) == 40
    for number, line in enumerate(epochs, start=1):
        assert re.fullmatch(
            rf"epoch {number}: training loss \d+\.\d{{4}}, "
            r"test accuracy \d+\.\d\d %, \d+ sequences/s",
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
    assert evaluate == f"next    {sys.executable} {TRAIN} --evaluate {run}"
    assert explore == f"        {sys.executable} -m gate_explorer {run} --label 7"
    assert board == f"        {sys.executable} -m tensorboard.main --logdir runs"


@pytest.mark.slow
def test_the_run_folder_has_the_model_that_was_tested(default_run: tuple[str, Path]) -> None:
    printed, folder = default_run
    names = {path.name for path in folder.iterdir()}
    (events,) = names - FILES
    assert events.startswith("events.out.tfevents.")
    assert names == FILES | {events}
    config = json.loads((folder / "config.json").read_text())
    found = metrics(folder)
    assert config["run_dir"] == f"runs/{folder.name}"
    resolved = [config[name] for name in ("dataset", "epochs", "batch_size", "learning_rate")]
    assert resolved == ["digits", 40, 50, 5e-3]
    assert config["device"] in ("cpu", "cuda", "mps")
    assert len(found["epochs"]) == 40
    assert len(found["step_losses"]) == 40 * 29

    # With these weights, torch.nn's LSTM has the accuracy of the run.
    model = SequenceClassifier(nn.LSTM(8, 128, 2, batch_first=True), 10)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    digits = load_images("digits", folder)
    tested = Batches(digits.test_images, digits.test_labels, "rows", 50)
    logits = predict(start_accelerator("cpu"), model, tested, tested.num_sequences)
    assert accuracy(logits, tested.labels) == found["test_accuracy"]
    assert f"test accuracy {100 * found['test_accuracy']:.2f} % after" in printed


@pytest.mark.slow
def test_the_printed_commands_work_in_a_fresh_shell(
    default_run: tuple[str, Path],
) -> None:
    """Without an activated .venv; the last command is TensorBoard, which runs until it is ended."""
    printed, folder = default_run
    shell = {
        "cwd": folder.parents[1],
        "env": ENVIRONMENT | {"PATH": os.defpath, "VIRTUAL_ENV": ""},
        "text": True,
    }
    *commands, board = (line[8:] for line in printed.splitlines()[-3:])
    for command in commands:
        done = subprocess.run(command, shell=True, capture_output=True, **shell)
        assert (done.returncode, done.stderr) == (0, ""), command
    free_port = [*shlex.split(board), "--port", "0"]
    with subprocess.Popen(free_port, stderr=subprocess.PIPE, **shell) as server:
        assert server.stderr is not None
        try:
            assert any("http://localhost:" in line for line in server.stderr)
        finally:
            server.kill()


def test_help_does_not_import_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(TRAIN), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--learning-rate" in done.stdout
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "lsm"], "--cell is 'lsm': expected rnn, gru or lstm"),
        (["--epochs", "-1"], "epochs is -1: expected at least 1"),
        (["--hidden-size", "0"], "hidden_size is 0: expected at least 1"),
        (["--dropout", "2"], "dropout is 2.0: expected a probability"),
        (["--batch-sizes", "3"], "unrecognized option --batch-sizes: did you mean --batch-size?"),
    ],
)
def test_an_invalid_argument_gives_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"train.py: error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_gives_one_line_and_status_2(tmp_path: Path) -> None:
    path = write_mnist(tmp_path) / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:1000])
    done = run_here("--data-dir", tmp_path, "--run-dir", tmp_path / "run", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"train.py: error: {path} is truncated: 1000 bytes")
    assert not (tmp_path / "run").exists()


# The tests below call train() in this process.


def step_losses(tmp_path: Path, **options: object) -> list[float]:
    train(small(tmp_path, **options))
    losses: list[float] = metrics(tmp_path / "run")["step_losses"]
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "dropout": 0.3}])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_scratch_and_builtin_have_the_same_losses(
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
def test_every_sequence_lowers_the_loss(tmp_path: Path, sequence: str) -> None:
    losses = step_losses(tmp_path, sequence=sequence, implementation="builtin", cell="rnn")
    assert sum(losses[-5:]) < sum(losses[:5])


def test_a_users_cell_lowers_the_loss(tmp_path: Path) -> None:
    own = ROOT / "examples" / "minimal_gated_cell.py"
    losses = step_losses(tmp_path, implementation=f"{own}:MinimalGatedCell")
    assert sum(losses[-5:]) < sum(losses[:5])


def test_auto_uses_mnist_if_it_is_in_the_data_folder(
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


def test_auto_without_mnist_prints_why_it_uses_the_digits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    train(small(tmp_path, dataset="auto"))
    printed = capsys.readouterr().out
    first, *_ = printed.splitlines()
    assert re.search(r"is missing and cannot be downloaded .*Connection refused", first)
    assert "\nresult  digits: " in printed


@pytest.mark.parametrize("name", ["data", "elsewhere"])
def test_a_given_data_folder_without_mnist_is_an_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user expects MNIST, so the digits must not be used instead."""
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    config = parse_options(["--data-dir", name, "--run-dir", "run"]).config
    with pytest.raises(DataError, match=rf"^{name}/MNIST/raw/\S+ is missing .* or use --dataset d"):
        train(config)
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_with_files_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_text("precious")
    with pytest.raises(ConfigError, match="it contains files"):
        train(small(tmp_path))
    assert (tmp_path / "run" / "model.safetensors").read_text() == "precious"


def test_torchs_generator_is_seeded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeding in every epoch would repeat the same dropout masks."""
    seeds: list[int] = []
    seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda value: seeds.append(value) or seed(value))
    train(small(tmp_path, epochs=2, seed=5))
    assert seeds == [5]


def test_a_learning_rate_close_to_zero_leaves_the_initial_weights(tmp_path: Path) -> None:
    train(small(tmp_path, learning_rate=1e-30, num_layers=1, seed=3, recipe="tutorial"))
    torch.manual_seed(3)
    untrained = SequenceClassifier(nn.LSTM(8, 16), 10).state_dict()
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(weights[name], untrained[name]) for name in untrained)


def test_every_epoch_has_its_own_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, int]] = []
    shuffled = Batches.shuffled

    def spy(batches: Batches, seed: int, epoch: int, start: int) -> Iterator[Batch]:
        calls.append((seed, epoch, start))
        return shuffled(batches, seed, epoch, start)

    monkeypatch.setattr(Batches, "shuffled", spy)
    train(small(tmp_path, epochs=3, seed=5))
    assert calls == [(5, 1, 0), (5, 2, 0), (5, 3, 0)]


def test_the_modules_of_train_py_can_be_used_in_another_program(tmp_path: Path) -> None:
    """A shorter training program, without run folder and checkpoints."""
    accelerator = start_accelerator("cpu")
    images = load_images("digits", tmp_path)
    config = Config(cell="gru", hidden_size=32, epochs=3, batch_size=50)
    config = config.resolved(images.name, "cpu")
    train_set = Batches(images.train_images, images.train_labels, "rows", config.batch_size)
    test_set = Batches(images.test_images, images.test_labels, "rows", config.batch_size)
    model = build_model(config, train_set.features, images.num_classes)
    initialize(model.layer, config.init, train_set.time)
    trainer = Trainer(config, accelerator, model, train_set.num_sequences, classification(10))
    for epoch in range(1, 4):
        for batch in train_set.shuffled(config.seed, epoch):
            trainer.take_step(batch)
    logits = predict(accelerator, trainer.model, test_set, test_set.num_sequences)
    assert accuracy(logits, test_set.labels) > 0.6
