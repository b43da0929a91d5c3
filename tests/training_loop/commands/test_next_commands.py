"""training_loop/commands/next_commands.py: commands to copy. test_train.py runs them."""

import os
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.paths import ROOT
from training_loop.commands import next_commands as module
from training_loop.commands.next_commands import latest_comparable, next_commands
from training_loop.config import Config


def write_run(folder: Path, split: str = "test", finished: bool = True) -> Path:
    config = Config(dataset="digits", validation=split == "validation")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    if finished:
        content = f'{{"epochs": [{{"{split}_accuracy": 1}}], "seconds": 1, "step_losses": [2]}}'
        (folder / "metrics.json").write_text(content)
    return folder


def test_paths_below_the_current_folder_are_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "runs" / "a run")
    other = write_run(tmp_path / "runs" / "other")
    python = tmp_path / ".venv" / "bin" / "python"
    monkeypatch.setattr(module, "sys", SimpleNamespace(executable=str(python)))
    monkeypatch.setattr(module, "TRAIN", tmp_path / "train.py")
    monkeypatch.chdir(tmp_path)
    assert next_commands(run.relative_to(tmp_path), can_trace=True) == [
        ".venv/bin/python train.py --evaluate 'runs/a run'",
        ".venv/bin/python train.py --compare runs/other 'runs/a run'",
        ".venv/bin/python -m gate_explorer 'runs/a run' --label 7",
        ".venv/bin/python -m tensorboard.main --logdir runs",
    ]
    monkeypatch.chdir(other)
    assert next_commands(run, can_trace=False)[0] == shlex.join(
        [str(python), str(tmp_path / "train.py"), "--evaluate", str(run)]
    )


def test_a_run_without_gates_is_not_shown_in_the_explorer(tmp_path: Path) -> None:
    commands = next_commands(write_run(tmp_path / "run"), can_trace=False)
    assert len(commands) == 2
    assert not any("gate_explorer" in command for command in commands)


def test_train_py_is_found() -> None:
    assert module.TRAIN == ROOT / "train.py"


def test_the_latest_run_on_the_same_images_is_compared(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert latest_comparable(run) is None
    for age, name in enumerate(["new", "old"]):
        os.utime(write_run(tmp_path / name), (1000 - age, 1000 - age))
    write_run(tmp_path / "unfinished", finished=False)
    write_run(tmp_path / "validation", split="validation")
    (tmp_path / "not a run").mkdir()
    (tmp_path / "file").write_text("")
    assert latest_comparable(run) == tmp_path / "new"
