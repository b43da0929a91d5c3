"""benchmarks/end_to_end.py: its ratios, its order of programs, and the tutorial program."""

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import end_to_end
from benchmarks import tutorial_baseline as tutorial
from benchmarks.end_to_end import Options, summary, time_rounds, write_mnist
from command_line.errors import ConfigError
from sequenced_mnist import load_images
from tests.helpers.mnist_files import write_mnist as write_random_mnist


def test_ratios_are_computed_within_a_round() -> None:
    seconds = {"tutorial": [10.0, 20.0, 40.0], "builtin": [7.0, 16.0, 20.0]}
    assert summary("gru", "builtin", seconds) == (
        "gru  builtin: 16.0 s, tutorial 20.0 s, ratio 0.70 (0.50 to 0.80)"
    )


def test_the_order_of_the_programs_alternates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def run(program: str, cell: str, epochs: int, data_dir: Path) -> tuple[float, str]:
        calls.append(program)
        assert (cell, epochs, data_dir) == ("rnn", 1, Path("data"))
        return float(len(calls)), "97.00"

    monkeypatch.setattr(end_to_end, "run", run)
    options = Options(implementations=("builtin",), rounds=3, epochs=1)
    assert time_rounds("rnn", options, Path("data")) == {
        "tutorial": [1.0, 4.0, 5.0],
        "builtin": [2.0, 3.0, 6.0],
    }
    assert calls == ["tutorial", "builtin", "builtin", "tutorial", "tutorial", "builtin"]


def test_the_compiled_runs_are_further_programs() -> None:
    assert Options(compiled=True).programs == [
        "builtin",
        "scratch",
        "builtin --compile",
        "scratch --compile",
    ]


def test_a_program_that_fails_raises(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="builtin rnn ended with exit status 2"):
        end_to_end.run("builtin", "rnn", epochs=0, data_dir=tmp_path)
    assert "epochs is 0" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["rounds", "epochs", "train_images"])
def test_a_count_of_zero_raises(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} is 0"):
        Options(**{option: 0})


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_tutorial_program_reads_the_written_subset(
    cell: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_random_mnist(tmp_path / "whole")
    whole = load_images("mnist", tmp_path / "whole")
    write_mnist(tmp_path / "part", whole, count=20)
    part = load_images("mnist", tmp_path / "part")
    assert torch.equal(part.train_images, whole.train_images[:20])
    assert torch.equal(part.train_labels, whole.train_labels[:20])
    assert torch.equal(part.test_images, whole.test_images)

    monkeypatch.setattr(sys, "argv", ["tutorial", "--cell", cell, "--epochs", "1", "--data-dir"])
    sys.argv.append(str(tmp_path / "part"))
    tutorial.main()
    assert capsys.readouterr().out.startswith("test accuracy ")
