"""A run that breaks off goes on to the bit: stopped by signals, killed, taken up by the other."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from command_line.errors import ConfigError, Stopped
from tests.helpers.runs import (
    assert_same_outcome,
    begin,
    break_off,
    metrics,
    run,
    saved,
    small,
    wait_for,
)
from train import train
from training_loop.config import Config
from training_loop.runs.checkpoint import CURRENT, read_latest
from training_loop.runs.run import Run
from training_loop.trainer import Training

# Dropout draws from the generator, one cycle moves the learning rate, 29 steps make an epoch.
OPTIONS: dict[str, Any] = {"epochs": 2, "dropout": 0.3, "hidden_size": 8, "bidirectional": True}
STEPS = 2 * 29


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(tmp_path_factory.mktemp("uninterrupted"), **OPTIONS))


@pytest.mark.parametrize("step", [1, 28, 29, 30, STEPS])
def test_a_run_stopped_by_a_signal_goes_on_to_the_bit(
    step: int, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mid-epoch, before and after an epoch's last step, and before the last test."""
    said = break_off(small(tmp_path, **OPTIONS), monkeypatch, step)
    folder = tmp_path / "run"
    assert said == f"terminated; saved after step {step}, go on with --resume {folder}"
    torch.manual_seed(99)  # whatever happens in between
    assert train(saved(folder), resume=True) == folder
    assert_same_outcome(folder, uninterrupted)
    assert not list(folder.glob("checkpoint*"))


def test_a_run_can_break_off_many_times(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    break_off(small(tmp_path, **OPTIONS), monkeypatch, 7)
    take_step = Training.take_step
    stops = iter([8, 29, 31])
    following = [next(stops)]

    def spy(training: Training, batch: Any) -> None:
        take_step(training, batch)
        if training.step == following[0]:
            following[0] = next(stops, 0)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Training, "take_step", spy)
    for _ in range(3):
        with pytest.raises(Stopped, match="interrupted; saved after step"):
            train(saved(folder), resume=True)
    train(saved(folder), resume=True)
    assert_same_outcome(folder, uninterrupted)


def test_a_second_signal_is_heeded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(training: Training, batch: Any) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second signal was not heeded")

    monkeypatch.setattr(Training, "take_step", slow)
    with pytest.raises(Stopped):
        train(small(tmp_path))
    assert read_latest(tmp_path / "run")[0].step == 0


def test_afterwards_signals_are_what_they_were(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(small(tmp_path))
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    ("number", "status", "what"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_the_command_saves_and_says_how_to_go_on(
    number: int, status: int, what: str, tmp_path: Path
) -> None:
    arguments = ("--dataset", "digits", "--epochs", 10_000, "--hidden-size", 8, "--run-dir", "run")
    with begin(*arguments, folder=tmp_path) as process:
        try:
            wait_for(process, "epoch 1")
            process.send_signal(number)
            _, complaint = process.communicate(timeout=30)
        finally:
            process.kill()
    step = read_latest(tmp_path / "run")[0].step
    assert step >= 29
    assert process.returncode == status
    assert complaint == f"train.py: {what}; saved after step {step}, go on with --resume run\n"


def test_killed_at_random_moments_it_goes_on_to_the_bit(tmp_path: Path) -> None:
    """kill -9, again and again, wherever the process happens to be."""
    options = {**OPTIONS, "epochs": 8}
    uninterrupted = train(small(tmp_path / "whole", **options))
    folder = tmp_path / "run"
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    words[words.index("--bidirectional=True")] = "--bidirectional"
    arguments = [*words, "--dataset", "digits", "--device", "cpu", "--checkpoint-every", 2]
    arguments += ["--run-dir", folder]
    moment = random.Random(5)
    reached = [0]
    for _ in range(3):
        with begin(*arguments, folder=tmp_path) as process:
            wait_for(process, "device")
            goal = reached[-1] + moment.randint(4, 50)
            while read_latest(folder)[0].step < goal:
                assert process.poll() is None
            time.sleep(moment.uniform(0, 0.05))  # in the midst of a step, a file, a test
            process.kill()
        assert process.returncode == -signal.SIGKILL
        reached.append(read_latest(folder)[0].step)
        arguments = ["--resume", folder]
    assert reached[-1] < 8 * 29
    done = run("--resume", folder, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_outcome(folder, uninterrupted)


@pytest.mark.parametrize(
    ("cell", "first", "second"),
    [
        ("rnn", "scratch", "builtin"),
        ("gru", "builtin", "scratch"),
        ("lstm", "scratch", "builtin"),
        ("lstm", "builtin", "scratch"),
    ],
)
def test_the_other_implementation_takes_a_run_up(
    cell: str, first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and the optimizer's state, which the two keep in different orders."""
    options = {"hidden_size": 8, "cell": cell, "bidirectional": True}
    whole = train(small(tmp_path / "whole", implementation=first, **options))
    folder = tmp_path / "run"
    break_off(small(tmp_path, implementation=first, **options), monkeypatch, 20)
    before = read_latest(folder)[0]
    config = saved(folder, "--implementation", second)
    break_off_again(config, monkeypatch)
    assert torch.equal(
        before.tensors["optimizer/layer.weight_hh_l1_reverse/exp_avg_sq"],
        read_latest(folder)[0].tensors["optimizer/layer.weight_hh_l1_reverse/exp_avg_sq"],
    )
    train(config, resume=True)
    losses = [metrics(run)["step_losses"] for run in (folder, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    assert losses[0][:20] == losses[1][:20]


def break_off_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resume, and save before the first step is taken."""

    def stop(*_: object) -> None:
        raise Stopped(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", stop)
        with pytest.raises(Stopped):
            train(config, resume=True)


def test_checkpoints_come_when_they_are_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    save: Callable[[Run], None] = Run.save
    monkeypatch.setattr(Run, "save", lambda run: steps.append(run.training.step) or save(run))
    train(small(tmp_path, checkpoint_every=12, epochs=2))
    assert steps == [0, 12, 24, 29, 36, 48, 58]


def test_the_one_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(small(tmp_path, checkpoint_every=6), monkeypatch, 14)
    folder = tmp_path / "run"
    assert read_latest(folder)[0].step == 14
    assert len(load_file(folder / CURRENT)["step_losses"]) == 14
    assert len(load_file(folder / "checkpoint-before.safetensors")["step_losses"]) == 12


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--epochs", "9"], "epochs is 9: .* has 1, and only .*data_dir"),
        (["--cell", "gru"], "cell is gru: .* has lstm"),
        (["--seed", "1"], "seed is 1: .* has 0"),
        (["--hidden-size", "8"], "hidden_size is 8: .* has 16"),
    ],
)
def test_a_resumed_run_is_the_same_run(
    change: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(small(tmp_path), monkeypatch, 3)
    with pytest.raises(ConfigError, match=complaint):
        saved(tmp_path / "run", *change)
    allowed = saved(tmp_path / "run", "--implementation", "builtin", "--data-dir", "elsewhere")
    assert (allowed.implementation, allowed.data_dir) == ("builtin", Path("elsewhere"))
    assert (allowed.epochs, allowed.hidden_size) == (1, 16)
