"""training_loop/reports/compilation.py: the user sees that a model compiles, and for how long."""

import re
import time
from pathlib import Path

import pytest
from torch import nn

from tests.helpers.runs import small
from train import train
from training_loop.reports import compilation
from training_loop.reports.compilation import CompilationReport


def test_a_call_that_compiles_for_long_is_reported_while_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compilation, "LINE_EVERY", 0.1)
    with CompilationReport(True).watch("step", "training step 1"):
        time.sleep(0.25)
        while_it_compiles = capsys.readouterr().out
    first, *others = while_it_compiles.splitlines()
    assert first == "compile training step 1: compiling, which can take minutes"
    assert others
    assert all(re.fullmatch(r"compile training step 1: \d+ s so far", line) for line in others)
    printed = capsys.readouterr().out
    assert re.search(r"^compile training step 1: took 0\.\d s$", printed, re.MULTILINE)


def test_a_later_call_is_reported_only_if_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = CompilationReport(True)
    for number in (1, 2):
        with report.watch("step", f"training step {number}"):
            pass
    assert "step 2" not in capsys.readouterr().out
    monkeypatch.setattr(compilation, "MIN_SECONDS", 0.1)
    with report.watch("step", "training step 29"):  # the last batch of an epoch, which is smaller
        time.sleep(0.15)
    assert re.fullmatch(r"compile training step 29: took 0\.\d s\n", capsys.readouterr().out)


def test_an_error_ends_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compilation, "LINE_EVERY", 0.05)
    with pytest.raises(RuntimeError), CompilationReport(True).watch("step", "training step 1"):
        raise RuntimeError
    capsys.readouterr()
    time.sleep(0.15)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("compiled", [True, False])
def test_the_first_step_and_the_first_test_of_a_compiled_run_are_reported(
    compiled: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        nn.Module, "compile", lambda module, **options: None
    )  # it would take a minute
    train(small(tmp_path, compile=compiled, epochs=2))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("compile")]
    expected = [
        r"compile training step 1: compiling, which can take minutes",
        r"compile training step 1: took \d+\.\d s",
        r"compile test of epoch 1: compiling, which can take minutes",
        r"compile test of epoch 1: took \d+\.\d s",
    ]
    assert len(lines) == (4 if compiled else 0)
    for line, pattern in zip(lines, expected, strict=False):
        assert re.fullmatch(pattern, line)
