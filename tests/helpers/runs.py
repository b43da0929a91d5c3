"""Runs of train.py for tests: in processes of their own, and small ones in the test's process."""

import contextlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from command_line.errors import Stopped
from tests.helpers.paths import ROOT
from train import train
from training_loop.commands.options import parse_options
from training_loop.config import Config
from training_loop.runs.folder import MODEL
from training_loop.runs.run import METRICS
from training_loop.runtime import startup
from training_loop.trainer import Trainer

TRAIN = ROOT / "train.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(TRAIN), *map(str, arguments)]


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run train.py with these arguments and ``folder`` as the current folder."""
    return subprocess.run(
        command(*arguments), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )


def run_here(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has imported torch: a new one takes seconds to do so."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with (
        pytest.MonkeyPatch.context() as patched,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patched.chdir(folder)
        patched.setattr(sys, "argv", command(*arguments)[1:])
        patched.setattr(startup, "tune_malloc", lambda: None)  # it would last longer than the run
        try:
            runpy.run_path(str(TRAIN), run_name="__main__")
        except SystemExit as exit:
            status = exit.code or 0
    return subprocess.CompletedProcess(command(*arguments), status, out.getvalue(), err.getvalue())


def start(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """Start the same as a process."""
    return subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background processes ignore Ctrl-C, and their children would do so too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(process: subprocess.Popen[str], prefix: str) -> None:
    """Read the process's output until a line starts with ``prefix``."""
    assert process.stdout is not None
    while not process.stdout.readline().startswith(prefix):
        assert process.poll() is None, process.communicate()


def small(tmp_path: Path, **options: object) -> Config:
    """Configuration of a run that takes a second, by default on the digits, in ``tmp_path/run``."""
    given: dict[str, Any] = {"dataset": "digits", "epochs": 1, "hidden_size": 16, "device": "cpu"}
    return Config(**(given | {"run_dir": tmp_path / "run"} | options))


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / METRICS).read_text())
    return found


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / MODEL)


def saved(folder: Path, *arguments: object) -> Config:
    """The configuration that ``--resume`` reads from ``folder``."""
    return parse_options(["--resume", str(folder), *map(str, arguments)]).config


def interrupt(
    config: Config, monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM
) -> str:
    """Train until a real signal arrives during ``step``; return the command's last line."""
    take_step = Trainer.take_step

    def spy(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.step == step:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "take_step", spy)
        with pytest.raises(Stopped) as stopped:
            train(config)
    assert stopped.value.signal == number
    return str(stopped.value)


def assert_same_results(got: Path, expected: Path) -> None:
    """The same weights, bit for bit, and the same metrics."""
    ours, theirs = weights(got), weights(expected)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name
    histories = [metrics(folder) for folder in (got, expected)]
    assert histories[0]["step_losses"] == histories[1]["step_losses"]
    for key in ("epoch", "training_loss", "test_accuracy"):
        of_each = [[epoch[key] for epoch in history["epochs"]] for history in histories]
        assert of_each[0] == of_each[1]
