"""Runs of train.py --task adding and copy have all that runs on images have."""

from pathlib import Path

import pytest
import torch

from command_line.errors import ConfigError
from gate_explorer.inputs.load_run import load_run
from tests.helpers.runs import assert_same_results, interrupt, metrics, run, run_here, saved
from train import train
from training_loop.commands.compare import compare
from training_loop.commands.evaluate import evaluate
from training_loop.config import Config, ResolvedConfig
from training_loop.model import build_model
from training_loop.tasks import memory

pytestmark = pytest.mark.usefixtures("blank_plots")
TASKS = pytest.mark.parametrize("task", ["adding", "copy"])


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TRAINING", 230)
    monkeypatch.setattr(memory, "TEST", 40)


def small(task: str, run_dir: Path, **options: object) -> Config:
    given = {"length": 6, "hidden_size": 5, "num_layers": 1, "epochs": 2, "device": "cpu"}
    return Config(task=task, run_dir=run_dir, **(given | options))


@pytest.mark.slow
def test_the_command_trains_and_evaluates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TEST", 2000)  # as in the command's own process
    options = ("--length", 5, "--hidden-size", 4, "--num-layers", 1, "--epochs", 1)
    done = run("--task", "copy", *options, "--run-dir", "run", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    data, *_, epoch, result, evaluated, _ = done.stdout.splitlines()
    assert data == (
        "data    copy, T = 5: 5000 training sequences in each epoch and 2000 test sequences, "
        "25 steps of 10; guessing has loss 2.0794, success is accuracy above 99 %"
    )
    assert "test loss" in epoch
    assert result.startswith("result  copy, T = 5: test loss ")
    assert ", no success after epoch 1 (scratch lstm, " in result
    assert evaluated.endswith("--evaluate run")
    assert "gate_explorer" not in done.stdout
    again = run_here("--evaluate", "run", folder=tmp_path)
    found = result.partition("test loss")[2].partition(" after")[0]
    assert again.stdout == (
        f"result  copy, T = 5: test loss{found} (scratch lstm, final weights of run)\n"
    )


@TASKS
def test_an_interrupted_run_is_resumed_bit_for_bit(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(small(task, tmp_path / "whole"))
    interrupt(small(task, tmp_path / "run"), monkeypatch, 7)  # an epoch has five steps
    train(saved(tmp_path / "run"), resume=True)
    assert_same_results(tmp_path / "run", whole)
    losses = [epoch["test_loss"] for epoch in metrics(whole)["epochs"]]
    assert losses == [epoch["test_loss"] for epoch in metrics(tmp_path / "run")["epochs"]]


@TASKS
def test_scratch_and_builtin_learn_the_same(task: str, tmp_path: Path) -> None:
    runs = [
        train(small(task, tmp_path / name, implementation=name)) for name in ("scratch", "builtin")
    ]
    losses = [metrics(folder)["epochs"][-1]["test_loss"] for folder in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    compare(runs)
    assert evaluate(saved(runs[0])) == metrics(runs[0])["test_accuracy"]


def test_a_short_adding_problem_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "TRAINING", 1000)
    options = {"hidden_size": 16, "epochs": 12, "batch_size": 20, "learning_rate": 1e-2}
    train(small("adding", tmp_path / "run", length=4, **options))
    assert ", success after epoch 12" in capsys.readouterr().out
    assert metrics(tmp_path / "run")["epochs"][-1]["test_loss"] < 0.01


def test_runs_of_different_tasks_cannot_be_compared(tmp_path: Path) -> None:
    runs = [train(small(task, tmp_path / task, epochs=1)) for task in ("adding", "copy")]
    sets = r"adding, T = 6 \(test\), copy, T = 6 \(test\)"
    with pytest.raises(ConfigError, match=f"runs tested on {sets}: expected the same data"):
        compare(runs)
    with pytest.raises(ConfigError, match=r"run on adding, T = 6: expected a run on images"):
        load_run(runs[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 100}, "length is 100: images have a length of their own; expected it with"),
        ({"task": "adding", "length": 1}, "length is 1: expected at least 2"),
        ({"task": "copy", "length": 10**6}, "length is 1000000: expected at most 100000"),
        ({"task": "copy", "dataset": "digits"}, "dataset is digits: the task copy has no images"),
        ({"task": "adding", "sequence": "pixels"}, "sequence is pixels: the task adding has no"),
    ],
)
def test_options_of_another_task_are_an_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        Config(**options)


def test_the_default_lengths() -> None:
    lengths = {
        task: Config(task=task).resolved("auto", "cpu").length
        for task in ("mnist", "adding", "copy")
    }
    assert lengths == {"mnist": None, "adding": 100, "copy": 50}
    resolved = Config(task="adding", length=7).resolved("auto", "cpu")
    assert ResolvedConfig.from_json(resolved.to_json()) == resolved


@pytest.mark.parametrize("implementation", ["scratch", "builtin"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_answers_are_read_from_the_last_steps(implementation: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    config = Config(implementation=implementation, bidirectional=bidirectional, hidden_size=5)
    model = build_model(config, input_size=3, num_outputs=4, answers=6)
    x = torch.randn(2, 9, 3)
    output, _ = model.layer(x)
    expected = output[:, 3:] @ model.readout.weight.T + model.readout.bias
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)
