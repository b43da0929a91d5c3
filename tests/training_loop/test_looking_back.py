"""What there is to see of a run: --evaluate, --compare, TensorBoard, gates at their ends."""

import re
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import scratch_cells
from command_line.errors import ConfigError
from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells import from_torch, trace
from tests.helpers.runs import break_off, metrics, run, saved, small, weights
from train import train
from training_loop.commands.compare import compare
from training_loop.commands.evaluate import evaluate
from training_loop.config import Config
from training_loop.reports.saturation import saturation
from training_loop.trainer import Training


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(tmp_path_factory.mktemp("finished"), cell="gru", epochs=3))


def test_the_command_tests_a_run_again(finished: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    done = run("--evaluate", finished, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    accuracy = metrics(finished)["test_accuracy"]
    assert done.stdout.splitlines()[-1] == (
        f"result  digits: test accuracy {100 * accuracy:.2f} % "
        f"(scratch gru, rows, the weights of {finished})"
    )
    right = [int(n) for n in re.findall(r"│ +\d+ +│ +\d+ +│ +(\d+) \(", done.stdout)]
    assert len(right) == 10
    assert sum(right) == round(accuracy * 364)
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


@pytest.mark.parametrize("implementation", ["scratch", "builtin"])
def test_either_implementation_gives_the_same_accuracy(finished: Path, implementation: str) -> None:
    config = Config.of_run(finished)
    config = Config(**(vars(config) | {"implementation": implementation, "run_dir": finished}))
    assert evaluate(config) == metrics(finished)["test_accuracy"]


def test_an_unfinished_run_is_tested_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_off(small(tmp_path), monkeypatch, 9)
    evaluate(saved(tmp_path / "run"))
    assert f"rows, step 9 of {tmp_path / 'run'})" in capsys.readouterr().out


def test_validation_holds_out_a_twelfth_of_the_training_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(small(tmp_path, validation=True))
    assert "digits: 1314 training and 119 validation images" in capsys.readouterr().out
    assert evaluate(saved(folder)) == metrics(folder)["validation_accuracy"]
    assert "digits: validation accuracy" in capsys.readouterr().out


def test_weights_of_another_model_are_refused(finished: Path) -> None:
    config = Config(**(vars(Config.of_run(finished)) | {"hidden_size": 9, "run_dir": finished}))
    with pytest.raises(ConfigError, match=f"^{finished} holds another model: .*size mismatch"):
        evaluate(config)


def test_runs_are_compared(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train(small(tmp_path, implementation="builtin"))
    capsys.readouterr()
    picture = compare([other, finished])
    assert picture == tmp_path / "comparison.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for folder in (other, finished):
        assert f"{100 * metrics(folder)['test_accuracy']:.2f} %" in printed
    assert printed.endswith(f"result  2 runs over one another -> {picture}\n")


def test_only_runs_on_the_same_images_are_compared(finished: Path, tmp_path: Path) -> None:
    other = train(small(tmp_path, validation=True))
    with pytest.raises(ConfigError, match=r"compare is of runs on digits \(test\), digits \(valid"):
        compare([finished, other])
    assert not (finished.parent / "comparison.png").exists()


def test_a_run_without_an_epoch_cannot_be_compared(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(small(tmp_path), monkeypatch, 9)
    with pytest.raises(ConfigError, match=r"run has no metrics\.json: its first epoch is not over"):
        compare([finished, tmp_path / "run"])


@pytest.mark.parametrize("content", ["", "[]", '{"test_accuracy": 1}'])
def test_a_file_of_other_metrics_is_refused(finished: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ConfigError, match=r"metrics.json (cannot be read|is no run's metrics): "):
        compare([finished, tmp_path])


def test_tensorboard_has_curves_gradient_norms_and_saturation(finished: Path) -> None:
    board = EventAccumulator(str(finished)).Reload()
    tags = set(board.Tags()["scalars"])
    assert {f"gradient norm/{name}" for name in weights(finished)} < tags
    assert {"training/loss", "training/learning rate", "saturation/layer 1 update/open"} < tags
    history = metrics(finished)
    accuracies = [event.value for event in board.Scalars("test/accuracy")]
    assert accuracies == pytest.approx([epoch["test_accuracy"] for epoch in history["epochs"]])
    losses = board.Scalars("training/loss")
    assert [event.step for event in losses] == [10, 20, 30, 40, 50, 60, 70, 80]
    first = history["step_losses"][:10]
    assert losses[0].value == pytest.approx(sum(first) / 10, rel=1e-5)


def test_a_resumed_run_has_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that were logged after the checkpoint to which the run goes back are taken again."""
    break_off(small(tmp_path, epochs=2), monkeypatch, 45)
    folder = tmp_path / "run"
    (folder / "checkpoint.safetensors").unlink()  # back to the end of the first epoch, step 29
    train(saved(folder), resume=True)
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in board.Scalars("training/loss")] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_saturation_is_a_share_of_the_gates_values(kind: str) -> None:
    torch.manual_seed(0)
    layer = getattr(nn, kind)(3, 4, 2, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(4)
    x = torch.randn(5, 6, 3)
    shares = saturation(layer, x)
    assert shares == pytest.approx(saturation(from_torch(layer), x))
    names = scratch_cells.trace(layer, x).of().gates._fields
    assert len(shares) == 2 * 2 * len(names) * 2
    gates = trace(layer, x).of(layer=1, reverse=True).gates
    for name in names:
        low = -0.9 if name == "candidate" else 0.1
        gate = getattr(gates, name)
        open_share = shares[f"layer 1 reverse {name}/open"]
        assert open_share == pytest.approx((gate > 0.9).double().mean().item())
        shut_share = shares[f"layer 1 reverse {name}/shut"]
        assert shut_share == pytest.approx((gate < low).double().mean().item())
    assert any(shares.values())


def test_a_users_gates_are_seen_and_other_layers_have_none() -> None:
    layer = scratch_cells.layer_of(MinimalGatedCell)(3, 4, batch_first=True)
    assert "layer 0 forget/open" in saturation(layer, torch.randn(2, 5, 3))
    assert saturation(nn.Linear(3, 4), torch.randn(2, 5, 3)) == {}


def test_a_model_is_trained_from_python(tmp_path: Path) -> None:
    """The API that train.py is written with, in a program of one's own."""
    from sequenced_mnist import Batches, load_images
    from training_loop.initialization import initialize
    from training_loop.model import build_model
    from training_loop.predict import accuracy, score
    from training_loop.runtime.accelerator import start_accelerator

    accelerator = start_accelerator("cpu")
    images = load_images("digits", tmp_path)
    config = Config(cell="gru", hidden_size=32, epochs=3, batch_size=50)
    config = config.settled(images.name, "cpu")
    train_set = Batches(images.train_images, images.train_labels, "rows", config.batch_size)
    test_set = Batches(images.test_images, images.test_labels, "rows", config.batch_size)
    model = build_model(config, train_set.features, images.num_classes)
    initialize(model.layer, config.init, train_set.time)
    training = Training(config, accelerator, model, train_set.num_images)
    for epoch in range(1, 4):
        for batch in train_set.shuffled(config.seed, epoch):
            training.take_step(batch)
        training.look()
    scores = score(accelerator, training.model, test_set, test_set.num_images)
    assert accuracy(scores, test_set.labels) > 0.6
