"""What can go wrong with a run, for real: one clear line each, and nothing lost."""

import os
import pickle
import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from command_line.errors import ConfigError
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
from training_loop.commands.evaluate import evaluate
from training_loop.config import Config
from training_loop.runs.checkpoint import BEFORE, CURRENT, CheckpointError, read, read_latest, write
from training_loop.runs.folder import new_folder
from training_loop.trainer import DivergedError, Training


@pytest.fixture
def broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run stopped after step 14, with checkpoints of steps 14 and 12."""
    break_off(small(tmp_path, checkpoint_every=6), monkeypatch, 14)
    return tmp_path / "run"


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    if how == "emptied":
        content = bytearray()
    if how == "a bit flipped in a tensor":
        content[-5] ^= 1
    if how == "a digit changed in the text":
        place = content.index(b"learning_rate") + 20
        content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "how", ["truncated", "emptied", "a bit flipped in a tensor", "a digit changed in the text"]
)
def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(
    how: str, broken_off: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    damage(broken_off / CURRENT, how)
    with pytest.raises(CheckpointError, match=rf"^{broken_off / CURRENT} is damaged"):
        read(broken_off / CURRENT)
    latest, note = read_latest(broken_off)
    assert latest.step == 12
    train(saved(broken_off), resume=True)
    assert capsys.readouterr().out.count(note) == 1
    assert note.isprintable()
    assert note.endswith(": going on from the one before")
    whole = train(small(tmp_path / "whole", checkpoint_every=6))
    assert_same_outcome(broken_off, whole)


def test_where_both_are_damaged_the_line_says_so(broken_off: Path) -> None:
    for name in (CURRENT, BEFORE):
        damage(broken_off / name, "truncated")
    before = {path.name: path.read_bytes() for path in broken_off.glob("checkpoint*")}
    with pytest.raises(ConfigError, match=r"is damaged .*: start the run anew") as error:
        train(saved(broken_off), resume=True)
    assert str(error.value).isprintable()
    assert {path.name: path.read_bytes() for path in broken_off.glob("checkpoint*")} == before


def test_a_foreign_file_is_no_checkpoint(broken_off: Path) -> None:
    (broken_off / BEFORE).unlink()
    save_file({"weight": torch.ones(3)}, broken_off / CURRENT)
    with pytest.raises(ConfigError, match=f"^{broken_off / CURRENT} is no checkpoint of train.py"):
        train(saved(broken_off), resume=True)


def test_another_models_checkpoint_is_refused(broken_off: Path) -> None:
    taken = read(broken_off / CURRENT)
    renamed = {name.replace("layer.", "other."): tensor for name, tensor in taken.tensors.items()}
    write(type(taken)(renamed, taken.text), broken_off)
    with pytest.raises(ConfigError, match=r"the checkpoint is of another model: .*layer\.weight"):
        train(saved(broken_off), resume=True)


class Bomb:
    """A pickle that writes a file as it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "executed")


@pytest.mark.parametrize("saved_by", ["pickle", "torch"])
def test_no_code_in_a_file_is_executed(broken_off: Path, saved_by: str, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    pickle.loads(pickle.dumps(Bomb(target)))
    assert target.exists()  # it does go off where it is let
    target.unlink()
    (broken_off / BEFORE).unlink()
    with (broken_off / CURRENT).open("wb") as file:
        save = pickle.dump if saved_by == "pickle" else torch.save
        save(Bomb(target), file)
    config = saved(broken_off)
    for use in (lambda: train(config, resume=True), lambda: evaluate(config)):
        with pytest.raises(ConfigError, match="is damaged or no safetensors file"):
            use()
    os.replace(broken_off / CURRENT, broken_off / "model.safetensors")
    with pytest.raises(ConfigError, match="is damaged or no safetensors file"):
        evaluate(config)
    assert not target.exists()


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """No file can grow beyond so many bytes: what a full disk is to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step = Training.take_step
    limits: list[Any] = []

    def spy(training: Training, batch: Any) -> None:
        take_step(training, batch)
        if training.step == 16:
            limits.append(full_disk(20_000))
            limits[0].__enter__()

    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", spy)
        try:
            with pytest.raises(ConfigError) as error:
                train(small(tmp_path, checkpoint_every=6))
        finally:
            limits[0].__exit__(None, None, None)
    folder = tmp_path / "run"
    assert str(error.value) == (
        f"run_dir is {folder}: cannot write there (File too large); "
        f"the checkpoint after step 12 stands, go on with --resume {folder}"
    )
    assert read(folder / CURRENT).step == 12
    assert not list(folder.glob(".*.part"))
    train(saved(folder), resume=True)
    assert_same_outcome(folder, train(small(tmp_path / "whole")))


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while opened.write(bytes(4096)) == 4096:
            pass


def test_a_full_disk_is_one_line_even_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A folder of its own size, full to the last byte; with room again, the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only a superuser, and not in every container, can make a small disk")
    try:
        # The first checkpoint fits, 0.8 MB; those after the first step have Adam's moments too.
        options = ("--dataset", "digits", "--epochs", 1, "--run-dir", disk / "run")
        first = run(*options, folder=tmp_path)
        fill(disk / "filling")
        second = run("--resume", disk / "run", folder=tmp_path)
        full = f"train.py: error: run_dir is {disk / 'run'}: cannot write there (No space left on"
        for done in (first, second):
            assert done.returncode == 2
            (line,) = done.stderr.splitlines()
            assert line.startswith(full)
        assert first.stderr.endswith(f"after step 0 stands, go on with --resume {disk / 'run'}\n")
        (disk / "filling").unlink()
        subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)
        last = run("--resume", disk / "run", folder=tmp_path)
        assert (last.returncode, last.stderr) == (0, "")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights that a superuser has to every folder."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("asked", ["", "new"])
def test_a_folder_without_write_permission_is_refused(asked: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with (
        as_nobody(),
        pytest.raises(ConfigError, match=r"cannot write there \(Permission denied\)$"),
        new_folder(tmp_path / asked, "unused"),
    ):
        raise AssertionError("it was taken")


def test_a_folder_in_use_is_refused_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_step(*_: object) -> None:
        raise AssertionError("two runs are at work in one folder")

    monkeypatch.setattr(Training, "take_step", take_step)
    arguments = ("--dataset", "digits", "--epochs", 10_000, "--hidden-size", 8, "--run-dir", "run")
    with begin(*arguments, folder=tmp_path) as process:
        try:
            wait_for(process, "epoch 1")
            in_use = "another run is at work in it"
            with pytest.raises(ConfigError, match=in_use):
                train(saved(tmp_path / "run"), resume=True)
            with pytest.raises(ConfigError, match=in_use):
                train(small(tmp_path))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 143  # it was not disturbed
    with pytest.raises(ConfigError, match=r"holds a run that broke off; .* --resume \S+/run$"):
        train(small(tmp_path))


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    folder = train(small(tmp_path))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run("--resume", folder, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"train.py: error: resume is {folder}: the run is finished; expected one that broke off, "
        f"evaluate it with --evaluate {folder}\n"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run at .*missing: expected a folder"):
        saved(tmp_path / "missing")
    (tmp_path / "config.json").write_text(Config().to_json())
    with pytest.raises(ConfigError, match="holds no checkpoint: expected a run's folder"):
        train(saved(tmp_path), resume=True)


def test_a_diverged_run_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    options = {"cell": "rnn", "recipe": "tutorial", "learning_rate": 3e38, "checkpoint_every": 1}
    config = small(tmp_path, **options)
    with pytest.raises(DivergedError, match=r"not finite after step 1: lower learn") as error:
        train(config)
    folder = tmp_path / "run"
    latest = read_latest(folder)[0]
    assert f"the checkpoint after step {latest.step} stands" in str(error.value)
    assert all(torch.isfinite(tensor).all() for tensor in latest.below("model/").values())
    assert latest.step == 0


def test_the_command_names_step_and_gradient_of_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    options = ("--cell", "rnn", "--recipe", "tutorial", "--learning-rate", 3e38)
    done = run("--dataset", "digits", *options, "--run-dir", "run", folder=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(
        r"train\.py: error: training loss is nan at step 2, after a step whose largest gradient "
        r"was \S+'s, of norm \S+: lower learning_rate, which is 3e\+38; "
        r"the checkpoint after step 0 stands\n",
        done.stderr,
    )


def test_killed_before_it_could_say_so_a_finished_pass_is_tested_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last thing that a run writes are its weights; up to then it can be resumed."""
    from training_loop.reports import plots as pictures

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pictures, "draw_confusion", die)
        with pytest.raises(KeyboardInterrupt):
            train(small(tmp_path))
    folder = tmp_path / "run"
    assert metrics(folder)["epochs"]
    train(saved(folder), resume=True)
    assert_same_outcome(folder, train(small(tmp_path / "whole")))
