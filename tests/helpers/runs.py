"""Runs of train.py for tests to look at: as processes, and small ones in this process."""

import json
import os
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
from training_loop.commands.options import parse_request
from training_loop.config import Config
from training_loop.runs.folder import WEIGHTS
from training_loop.runs.run import METRICS
from training_loop.trainer import Training

TRAIN = ROOT / "train.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(TRAIN), *map(str, arguments)]


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """train.py with these arguments, from within ``folder``."""
    return subprocess.run(
        command(*arguments), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )


def begin(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """The same, under way."""
    return subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell runs in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(process: subprocess.Popen[str], start: str) -> None:
    """Read what the process prints, up to a line that starts so."""
    assert process.stdout is not None
    while not process.stdout.readline().startswith(start):
        assert process.poll() is None, process.communicate()


def small(tmp_path: Path, **options: object) -> Config:
    """A run of a second, on the digits unless said otherwise, in ``tmp_path/run``."""
    given: dict[str, Any] = {"dataset": "digits", "epochs": 1, "hidden_size": 16, "device": "cpu"}
    return Config(**(given | {"run_dir": tmp_path / "run"} | options))


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / METRICS).read_text())
    return found


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / WEIGHTS)


def saved(folder: Path, *arguments: object) -> Config:
    """The configuration with which ``--resume`` goes on."""
    return parse_request(["--resume", str(folder), *map(str, arguments)]).config


def break_off(
    config: Config, monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM
) -> str:
    """Train until a real signal comes, sent in the midst of a step; what the command would say."""
    take_step = Training.take_step

    def spy(training: Training, batch: Any) -> None:
        take_step(training, batch)
        if training.step == step:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", spy)
        with pytest.raises(Stopped) as stopped:
            train(config)
    assert stopped.value.signal == number
    return str(stopped.value)


def assert_same_outcome(got: Path, expected: Path) -> None:
    """The same weights bit for bit, and the same history."""
    ours, theirs = weights(got), weights(expected)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name
    histories = [metrics(folder) for folder in (got, expected)]
    assert histories[0]["step_losses"] == histories[1]["step_losses"]
    for key in ("epoch", "training_loss", "test_accuracy"):
        of_each = [[epoch[key] for epoch in history["epochs"]] for history in histories]
        assert of_each[0] == of_each[1]
