"""examples/: the commands in the files work. The cells are tested in test_gallery.py."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from examples.follow_a_unit import detectors
from tests.helpers.paths import ROOT
from tests.helpers.runs import ENVIRONMENT, metrics, run_here, small
from train import train

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
@pytest.mark.usefixtures("blank_plots")
def test_the_command_in_the_file_trains_the_cell(tmp_path: Path) -> None:
    source = (EXAMPLES / "custom_cell.py").read_text()
    (command,) = re.findall(r"python train.py (--implementation \S+)", source)
    option, implementation = command.split()
    arguments = (option, ROOT / implementation, "--dataset", "digits", "--epochs", 6)
    done = run_here(*arguments, "--run-dir", tmp_path / "run", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert metrics(tmp_path / "run")["test_accuracy"] > 0.8


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )


def test_verify_a_cell_reports_the_mistake_and_then_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = (EXAMPLES / "verify_a_cell.py").read_text()
    (module,) = re.findall(r"python -m (examples\.\S+)", source)
    runpy.run_module(module, run_name="__main__")
    printed = capsys.readouterr()
    assert printed.err == ""
    wrong, correct = printed.out.split("CorrectLSTMCell")
    assert "missing-output-tanh" in wrong
    assert "missing-output-tanh" not in correct
    assert "FAILED" not in correct


def test_verify_a_cell_works_on_the_command_line() -> None:
    source = (EXAMPLES / "verify_a_cell.py").read_text()
    (command,) = re.findall(r"python -m (cell_verifier .*)", source)
    done = run_module(*command.split())
    assert (done.returncode, done.stderr) == (1, "")
    assert "missing-output-tanh" in done.stdout


@pytest.mark.usefixtures("blank_plots")
def test_follow_a_unit_finds_a_unit_and_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(tmp_path)
    train(config)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["", str(config.run_dir), str(tmp_path / "unit.png")])
    runpy.run_path(str(EXAMPLES / "follow_a_unit.py"), run_name="__main__")
    printed, error = capsys.readouterr()
    assert error == ""
    assert re.fullmatch(r"unit \d+ of the last layer detects \d: [+-]\d+\.\d deviations\n", printed)
    assert (tmp_path / "unit.png").read_bytes().startswith(b"\x89PNG")


def test_the_score_of_a_unit_is_the_difference_of_the_means_in_deviations() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    final = torch.tensor([[5.0, 0.0], [6.0, 1.0], [7.0, 2.0], [0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    scores = detectors(final, labels)
    torch.testing.assert_close(scores, torch.tensor([[5.0, 0.0], [-5.0, 0.0]]))
