"""Interrupted runs resume bit-exactly: after signals, after SIGKILL, by the other package."""

import inspect
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from command_line.errors import ConfigError, Stopped
from tests.helpers.runs import (
    assert_same_results,
    interrupt,
    metrics,
    run_here,
    saved,
    small,
    start,
    wait_for,
)
from train import train
from training_loop.config import Config
from training_loop.reports import plots
from training_loop.runs import checkpoint
from training_loop.runs.checkpoint import CURRENT, PREVIOUS, read_latest
from training_loop.runs.run import Run
from training_loop.runtime.signals import StoppedAtOnce
from training_loop.trainer import Trainer

pytestmark = pytest.mark.usefixtures("blank_plots")

# Dropout draws from the generator, one-cycle changes the learning rate, an epoch has 29 steps.
OPTIONS: dict[str, Any] = {"epochs": 2, "dropout": 0.3, "hidden_size": 8, "bidirectional": True}
STEPS = 2 * 29


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(tmp_path_factory.mktemp("uninterrupted"), **OPTIONS))


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 28, 29, 30, STEPS])
def test_a_run_stopped_by_a_signal_resumes_bit_exactly(
    step: int, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an epoch, before and after its last step, and before the last test."""
    message = interrupt(small(tmp_path, **OPTIONS), monkeypatch, step)
    folder = tmp_path / "run"
    assert message == f"terminated; saved after step {step}, resume with --resume {folder}"
    torch.manual_seed(99)  # the generator's state before the resume does not matter
    assert train(saved(folder), resume=True) == folder
    assert_same_results(folder, uninterrupted)
    assert not list(folder.glob("checkpoint*"))


def test_a_run_can_be_interrupted_many_times(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    interrupt(small(tmp_path, **OPTIONS), monkeypatch, 7)
    take_step = Trainer.take_step
    stops = iter([8, 29, 31])
    following = [next(stops)]

    def spy(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.step == following[0]:
            following[0] = next(stops, 0)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "take_step", spy)
    for _ in range(3):
        with pytest.raises(Stopped, match="interrupted; saved after step"):
            train(saved(folder), resume=True)
    train(saved(folder), resume=True)
    assert_same_results(folder, uninterrupted)


def test_a_second_signal_stops_within_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(trainer: Trainer, batch: Any) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second signal was not handled")

    monkeypatch.setattr(Trainer, "take_step", slow)
    folder = tmp_path / "run"
    with pytest.raises(Stopped) as stopped:
        train(small(tmp_path))
    assert str(stopped.value) == (
        f"interrupted; latest checkpoint: step 0, resume with --resume {folder}"
    )
    assert read_latest(folder)[0].step == 0


def lines_of(function: Callable[..., Any]) -> range:
    """The line numbers of a function, without its first line."""
    lines, first = inspect.getsourcelines(function)
    return range(first + 1, first + len(lines))


@contextmanager
def two_signals_at(function: Callable[..., Any], line: int, number_of_call: int) -> Iterator[None]:
    """Send two real signals to this process when a call of the function reaches a line."""
    calls = 0

    def in_call(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and frame.f_lineno >= line and calls == number_of_call:
            sys.settrace(None)
            frame.f_trace = None
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
        return in_call

    def on_call(frame: FrameType, *_: object) -> Any:
        nonlocal calls
        if frame.f_code is not function.__code__:
            return None
        calls += 1
        return in_call

    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(None)


@pytest.mark.slow
@pytest.mark.parametrize("line", lines_of(Trainer.take_step)[2::3])
def test_a_run_interrupted_twice_at_any_line_of_a_step_resumes_bit_exactly(
    line: int, tmp_path: Path, uninterrupted: Path
) -> None:
    """The step is dropped: half a step must not be saved over the latest checkpoint."""
    config = small(tmp_path, checkpoint_every=6, **OPTIONS)
    with two_signals_at(Trainer.take_step, line, 15), pytest.raises(Stopped, match="step 12, res"):
        train(config)
    folder = tmp_path / "run"
    train(saved(folder), resume=True)
    assert_same_results(folder, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0.5, 0.99])
@pytest.mark.parametrize(
    ("function", "call"), [(checkpoint.write, 2), (Trainer.end_epoch, 1), (Run.finish, 1)]
)
def test_a_run_interrupted_twice_between_steps_resumes_bit_exactly(
    function: Callable[..., Any], call: int, place: float, tmp_path: Path, uninterrupted: Path
) -> None:
    """While a checkpoint or the results are written."""
    lines = lines_of(function)
    folder = tmp_path / "run"
    with (
        two_signals_at(function, lines[int(place * len(lines))], call),
        pytest.raises(Stopped, match=r"--(resume|evaluate)") as stopped,
    ):
        train(small(tmp_path, **OPTIONS))
    if "--resume" in str(stopped.value):
        train(saved(folder), resume=True)
    assert_same_results(folder, uninterrupted)


def test_signal_handlers_are_restored_after_a_run(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(small(tmp_path))
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_interrupted_twice_while_it_is_finished_can_be_resumed(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All epochs are over, but its plots and weights have not been written."""

    def stop(*_: object) -> None:
        raise StoppedAtOnce(signal.SIGINT)  # as a second signal does, between any two lines

    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(plots, "draw_confusion", stop)
        for resume in (False, True):
            config = saved(folder) if resume else small(tmp_path, **OPTIONS)
            with pytest.raises(Stopped, match=f"latest checkpoint: step {STEPS}, resume with"):
                train(config, resume)
    train(saved(folder), resume=True)
    assert_same_results(folder, uninterrupted)


def logged_losses(folder: Path) -> list[tuple[int, float]]:
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in board.Scalars("training/loss")]


def test_neither_checkpoints_nor_a_resume_change_the_logged_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(small(tmp_path / "plain"))
    interrupt(small(tmp_path, checkpoint_every=3), monkeypatch, 14)
    folder = train(saved(tmp_path / "run"), resume=True)
    assert logged_losses(folder) == logged_losses(plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "what"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_the_command_saves_and_prints_how_to_resume(
    number: int, status: int, what: str, tmp_path: Path
) -> None:
    arguments = ("--dataset", "digits", "--epochs", 10_000, "--hidden-size", 8, "--run-dir", "run")
    with start(*arguments, folder=tmp_path) as process:
        try:
            wait_for(process, "epoch 1")
            process.send_signal(number)
            _, message = process.communicate(timeout=30)
        finally:
            process.kill()
    step = read_latest(tmp_path / "run")[0].step
    assert step >= 29
    assert process.returncode == status
    assert message == f"train.py: {what}; saved after step {step}, resume with --resume run\n"


@pytest.mark.slow
def test_a_run_killed_at_random_moments_resumes_bit_exactly(tmp_path: Path) -> None:
    """SIGKILL, several times, at any line of the code."""
    options = {**OPTIONS, "epochs": 8}
    uninterrupted = train(small(tmp_path / "whole", **options))
    folder = tmp_path / "run"
    own = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    own[own.index("--bidirectional=True")] = "--bidirectional"
    arguments = [*own, "--dataset", "digits", "--device", "cpu", "--checkpoint-every", 2]
    arguments += ["--run-dir", folder]
    moment = random.Random(5)
    reached = [0]
    for _ in range(3):
        with start(*arguments, folder=tmp_path) as process:
            wait_for(process, "device")
            goal = reached[-1] + moment.randint(4, 50)
            while read_latest(folder)[0].step < goal:
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(moment.uniform(0, 0.05))  # during a step, a write, a test
            process.kill()
        assert process.returncode == -signal.SIGKILL
        reached.append(read_latest(folder)[0].step)
        arguments = ["--resume", folder]
    assert reached[-1] < 8 * 29
    done = run_here("--resume", folder, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_results(folder, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "first", "second"),
    [
        ("rnn", "scratch", "builtin"),
        ("gru", "builtin", "scratch"),
        ("lstm", "scratch", "builtin"),
        ("lstm", "builtin", "scratch"),
    ],
)
def test_the_other_implementation_resumes_a_run(
    cell: str, first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the weights and the optimizer's state, whose order differs between the two."""
    options = {"hidden_size": 8, "cell": cell, "bidirectional": True}
    whole = train(small(tmp_path / "whole", implementation=first, **options))
    folder = tmp_path / "run"
    interrupt(small(tmp_path, implementation=first, **options), monkeypatch, 20)
    before = read_latest(folder)[0]
    config = saved(folder, "--implementation", second)
    interrupt_before_the_first_step(config, monkeypatch)
    assert torch.equal(
        before.tensors["optimizer/layer.weight_hh_l1_reverse/exp_avg_sq"],
        read_latest(folder)[0].tensors["optimizer/layer.weight_hh_l1_reverse/exp_avg_sq"],
    )
    train(config, resume=True)
    losses = [metrics(run)["step_losses"] for run in (folder, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    assert losses[0][:20] == losses[1][:20]


def interrupt_before_the_first_step(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resume, and save before a step is taken."""

    def stop(*_: object) -> None:
        raise Stopped(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "take_step", stop)
        with pytest.raises(Stopped):
            train(config, resume=True)


def test_a_checkpoint_is_written_every_n_steps_and_after_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    save: Callable[[Run], None] = Run.save
    monkeypatch.setattr(Run, "save", lambda run: steps.append(run.trainer.step) or save(run))
    train(small(tmp_path, checkpoint_every=12, epochs=2))
    assert steps == [0, 12, 24, 29, 36, 48, 58]


def test_the_previous_checkpoint_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(small(tmp_path, checkpoint_every=6), monkeypatch, 14)
    folder = tmp_path / "run"
    assert read_latest(folder)[0].step == 14
    assert len(load_file(folder / CURRENT)["step_losses"]) == 14
    assert len(load_file(folder / PREVIOUS)["step_losses"]) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--epochs", "9"], "epochs is 9: .* has 1, and only .*data_dir"),
        (["--cell", "gru"], "cell is gru: .* has lstm"),
        (["--seed", "1"], "seed is 1: .* has 0"),
        (["--hidden-size", "8"], "hidden_size is 8: .* has 16"),
    ],
)
def test_options_that_change_the_results_are_rejected_on_resume(
    change: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(small(tmp_path), monkeypatch, 3)
    with pytest.raises(ConfigError, match=message):
        saved(tmp_path / "run", *change)
    allowed = saved(tmp_path / "run", "--implementation", "builtin", "--data-dir", "elsewhere")
    assert (allowed.implementation, allowed.data_dir) == ("builtin", Path("elsewhere"))
    assert saved(tmp_path / "run", "--backend", "plain").backend == "plain"
    assert (allowed.epochs, allowed.hidden_size) == (1, 16)
