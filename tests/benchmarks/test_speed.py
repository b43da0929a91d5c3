"""benchmarks.speed times only equal implementations, in rounds, and reports clear errors."""

import dataclasses
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import timing
from benchmarks.implementations import KINDS, PHASES, Task, check_equal, draw_input, implementations
from benchmarks.speed import Arguments, Row, draw, table_of
from benchmarks.timing import Ratio, interleave
from command_line.errors import ConfigError
from tests.helpers.paths import ROOT

CPU = torch.device("cpu")
SMALL = Task("small", batch=2, time=5, features=3, hidden_size=4, layers=2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_implementation_is_checked_before_it_is_timed(kind: str) -> None:
    models, x = implementations(kind, SMALL, CPU), draw_input(SMALL, CPU)
    assert {"builtin", "scratch", "scratch plain", "torch.nn cell loop"} <= models.keys()
    check_equal(models, x)


@pytest.mark.parametrize("name", ["scratch", "torch.nn cell loop"])
def test_an_implementation_with_different_outputs_is_not_timed(name: str) -> None:
    models, x = implementations("GRU", SMALL, CPU), draw_input(SMALL, CPU)
    with torch.no_grad():
        next(models[name].parameters())[0, 0] += 0.01
    with pytest.raises(AssertionError, match=f"outputs of {name}"):
        check_equal(models, x)


@pytest.mark.parametrize("name", ["scratch", "torch.nn cell loop"])
def test_an_implementation_with_a_different_gradient_is_not_timed(name: str) -> None:
    """Only the sign differs, which a comparison of norms would miss."""
    models, x = implementations("LSTM", SMALL, CPU), draw_input(SMALL, CPU)
    next(iter(models[name].parameters())).register_hook(lambda gradient: -gradient)
    with pytest.raises(AssertionError, match=f"weight_ih_l0 of {name}"):
        check_equal(models, x)


def test_ratios_are_taken_within_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"builtin": iter([9.0, 1.0, 2.0, 4.0]), "scratch": iter([9.0, 2.0, 2.0, 2.0])}
    order = []

    def time(call: Callable[[], str], device: torch.device) -> float:
        order.append(call())
        return next(seconds[call()])

    monkeypatch.setattr(timing, "_time", time)
    calls = {name: lambda name=name: name for name in seconds}
    ratios = interleave(calls, "builtin", 3, CPU)
    assert ratios["scratch"] == Ratio(median=1.0, low=0.75, high=1.5, milliseconds=2000)
    assert ratios["builtin"] == Ratio(median=1.0, low=1.0, high=1.0, milliseconds=2000)
    assert order == ["builtin", "scratch", "scratch", "builtin"] * 2


def test_table_and_chart_show_every_implementation_except_the_reference(tmp_path: Path) -> None:
    rows = [
        Row("small", kind, phase, name, 0.5, 0.4, 0.6, 1.0, memory=0.7)
        for kind in KINDS
        for phase in PHASES
        for name in ("builtin", "scratch")
    ]
    table = table_of(rows)
    assert list(table.columns[3].cells) == ["scratch"] * 6
    assert set(table.columns[4].cells) == {"0.50 (0.40 to 0.60)"}
    draw(rows, tmp_path / "chart.png", "title")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_bad_arguments_raise_before_anything_is_timed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        Arguments(json=tmp_path / "none" / "speed.json")
    with pytest.raises(ConfigError, match="expected a file, not a folder"):
        Arguments(png=tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="torch sees no CUDA device"):
            Arguments(device="cuda")
    assert dataclasses.asdict(Arguments(json=tmp_path / "speed.json"))["quick"] is False


def test_a_bad_argument_gives_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process; tests/command_line/test_output.py runs the command as its own."""
    monkeypatch.setattr(sys, "argv", ["speed.py", "--json", "none/speed.json"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks" / "speed.py"), run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "python -m benchmarks.speed: error: json is none/speed.json: there is no folder none\n"
    )
