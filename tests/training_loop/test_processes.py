"""Several processes, started by torchrun, train one model together over gloo."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from command_line.errors import ConfigError
from tests.helpers.runs import ENVIRONMENT, TRAIN, command, metrics, wait_for, weights
from train import train
from training_loop.commands.options import parse_options
from training_loop.runs.checkpoint import read_latest
from training_loop.runtime import processes

pytestmark = pytest.mark.usefixtures("blank_plots")

# A batch of 13 cannot be split evenly among two processes, and the last batch has 3 images.
OPTIONS = ("--dataset", "digits", "--hidden-size", 8, "--batch-size", 13, "--device", "cpu")


def start(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """Start train.py in two processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*torchrun, "--nproc-per-node", "2", str(TRAIN), *map(str, arguments)],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_by_hand(*arguments: tuple[object, ...], folder: Path) -> list[subprocess.Popen[str]]:
    """Start train.py with each of the arguments, as on several machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            command(*own),
            cwd=folder,
            env=ENVIRONMENT
            | rendezvous
            | {"WORLD_SIZE": str(len(arguments)), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, own in enumerate(arguments)
    ]


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.fixture(scope="module")
def two_and_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """Output and run folder of two processes; run folder of one process with the same batches."""
    folder = tmp_path_factory.mktemp("processes")
    arguments = (*OPTIONS, "--epochs", 2, "--run-dir", "two")
    printed = ""
    for process in start_by_hand(arguments, arguments, folder=folder):
        status, out, error = finish(process)
        assert status == 0, error
        printed += out
    one = [*map(str, OPTIONS), "--epochs", "2", "--run-dir", str(folder / "one")]
    return printed, folder / "two", train(parse_options(one).config)


@pytest.mark.slow
def test_two_processes_give_the_results_of_one(two_and_one: tuple[str, Path, Path]) -> None:
    _, two, one = two_and_one
    ours, theirs = metrics(two), metrics(one)
    assert (ours["processes"], theirs["processes"]) == (2, 1)
    assert ours["step_losses"] == pytest.approx(theirs["step_losses"], rel=1e-3)
    for name, weight in weights(one).items():
        torch.testing.assert_close(weights(two)[name], weight, rtol=1e-2, atol=1e-3)
    for mine, alone in zip(ours["epochs"], theirs["epochs"], strict=True):
        # Each of the 364 images is counted once; rounding may change the class of one of them.
        assert abs(mine["test_accuracy"] - alone["test_accuracy"]) <= 1.5 / 364
        assert mine["test_accuracy"] * 364 == pytest.approx(round(mine["test_accuracy"] * 364))


@pytest.mark.slow
def test_only_the_main_process_prints_and_writes(two_and_one: tuple[str, Path, Path]) -> None:
    printed, two, one = two_and_one
    lines = printed.splitlines()
    assert len(lines) == len(set(lines)) == 10
    assert re.fullmatch(r"device  2 processes, each cpu \(\d+ threads\)", lines[2])
    file_names = [
        sorted(re.sub(r"\.\d.*", "", path.name) for path in folder.iterdir())
        for folder in (two, one)
    ]
    assert file_names[0] == file_names[1]


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_can_be_resumed(tmp_path: Path) -> None:
    arguments = (*OPTIONS, "--epochs", 300, "--checkpoint-every", 5, "--run-dir", "run")
    process = start(*arguments, folder=tmp_path)
    try:
        wait_for(process, "epoch 1:")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        second = max(int(child) for child in children if is_train(int(child)))
        os.kill(second, signal.SIGKILL)
    finally:
        status, _, error = finish(process)
    assert status != 0
    (line,) = [line for line in error.splitlines() if line.startswith("train.py: error: ")]
    step = read_latest(tmp_path / "run")[0].step
    assert step >= 111
    assert line == (
        "train.py: error: another process of the run has ended; "
        f"latest checkpoint: step {step}, resume with --resume run"
    )
    assert not re.search(r"^\[rank\d\]", error, re.MULTILINE)  # no traceback of a process

    again = start("--resume", "run", folder=tmp_path)
    try:
        wait_for(again, f"epoch {step // 111 + 1}:")
        again.send_signal(signal.SIGTERM)  # torchrun forwards it to both
    finally:
        status, _, error = finish(again)
    later = read_latest(tmp_path / "run")[0].step
    assert later > step
    assert f"train.py: terminated; saved after step {later}, resume with" in error


@pytest.mark.slow
def test_processes_with_different_options_stop_with_one_line_each(tmp_path: Path) -> None:
    line = "learning_rate is 0.005 in process 0 and 0.5 in process 1"
    arguments = (*OPTIONS, "--epochs", 1, "--run-dir", "run")
    for process in start_by_hand(arguments, (*arguments, "--learning-rate", 0.5), folder=tmp_path):
        status, out, error = finish(process)
        assert (status, out) == (2, "")
        (printed,) = [each for each in error.splitlines() if "train.py: error" in each]
        assert printed == f"train.py: error: {line}: start every process with the same options"
        assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "num_images", "line"),
    [
        (["--learning-rate", "0.5"], 9, "learning_rate is 0.005 in process 0 and 0.5 in process 1"),
        (["--epochs", "2"], 9, "epochs is 1 in process 0 and 2 in process 1"),
        (["--validation"], 9, "validation is False in process 0 and True in process 1"),
        ([], 8, "number of training sequences is 9 in process 0 and 8 in process 1"),
    ],
)
def test_every_option_that_changes_the_model_must_be_the_same(
    option: list[str], num_images: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, str]] = []
    calls: list[str] = []
    accelerator = SimpleNamespace(
        num_processes=2,
        wait_for_everyone=lambda: calls.append("wait"),
        end_training=lambda: calls.append("end"),
    )
    for extra, count in (([], 9), (option, num_images)):
        config = parse_options([*map(str, OPTIONS), "--epochs", "1", *extra]).config
        monkeypatch.setattr(processes, "gather_object", lambda own: [sent.extend(own) or own[0]])
        processes.require_same_options(accelerator, config.resolved("digits", "cpu"), count)
    monkeypatch.setattr(processes, "gather_object", lambda own: sent)
    with pytest.raises(ConfigError) as error:
        processes.require_same_options(accelerator, config.resolved("digits", "cpu"), count)
    assert str(error.value) == f"{line}: start every process with the same options"
    assert calls == ["wait", "end"]


def test_folders_may_differ_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr(processes, "gather_object", lambda own: sent.extend(own) or sent)
    for folder in ("one", "two"):
        arguments = [*map(str, OPTIONS), "--run-dir", folder, "--data-dir", folder]
        config = parse_options(arguments).config.resolved("digits", "cpu")
        processes.require_same_options(SimpleNamespace(num_processes=2), config, 9)
    assert len(sent) == 2


def is_train(pid: int) -> bool:
    return "train.py" in Path(f"/proc/{pid}/cmdline").read_text()
