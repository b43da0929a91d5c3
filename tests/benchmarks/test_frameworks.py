"""benchmarks.frameworks: only equal results are timed, in turn, each in a process of its own."""

import dataclasses
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from benchmarks.frameworks import job
from benchmarks.frameworks.__main__ import Arguments, main
from benchmarks.frameworks.contenders import (
    FRAMEWORKS,
    SCRATCH,
    Framework,
    Results,
    difference,
    make_layer,
)
from benchmarks.frameworks.measure import ALL_TASKS, Problem, Row, time_rows
from benchmarks.frameworks.report import draw_rows, markdown
from benchmarks.implementations import Task
from benchmarks.workers import Worker, WorkerError
from command_line.errors import ConfigError
from conversion import to_keras
from tests.helpers.paths import ROOT

SMALL = Task("small", batch=2, time=5, features=3, hidden_size=4, layers=2)
INSTALLED = (SCRATCH, "PyTorch", "ONNX Runtime")
THREADS = torch.get_num_threads()


class InThisProcess:
    """Calls a worker's functions in this process."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def call(self, function: str, *arguments: Any) -> Any:
        self.called.append(function)
        try:
            return getattr(job, function)(*arguments)
        except Exception as error:
            raise WorkerError(str(error)) from error


def check(kind: str, name: str) -> list[Row]:
    worker = cast(Worker, InThisProcess())
    return Problem.draw(SMALL, kind).check(name, worker, THREADS)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("name", INSTALLED)
def test_equal_results_pass(kind: str, name: str) -> None:
    rows = check(kind, name)
    assert [row.phase for row in rows] == (
        ["inference"] if name == "ONNX Runtime" else ["train", "inference"]
    )
    for row in rows:
        assert row.problem == ""
        assert row.difference is not None
        assert 0 < row.difference < 1e-5


def negated(values: Results) -> Results:
    """Gradients of the opposite sign, which a comparison of norms would miss."""
    return {name: -array for name, array in values.items()}


def without_the_last(values: Results) -> Results:
    return dict(list(values.items())[:-3])


def not_a_number(values: Results) -> Results:
    return {name: array * np.nan for name, array in values.items()}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (negated, r"train: weight_ih_l0 differs from the float64 result by 2\.0e\+00 of its"),
        (without_the_last, "train does not return bias_ih_l1, weight_hh_l1"),
        (not_a_number, "train: weight_ih_l0 differs from the float64 result by nan"),
    ],
)
def test_wrong_gradients_are_found(
    change: Callable[[Results], Results], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(FRAMEWORKS["PyTorch"], gradients=lambda got, kind: change(got))
    monkeypatch.setitem(FRAMEWORKS, "PyTorch", wrong)
    train, inference = check("LSTM", "PyTorch")
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(train.problem)
    assert not inference.problem


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_wrong_weights_are_found_and_not_timed(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct = FRAMEWORKS[name].weights

    def wrong(layer: torch.nn.RNNBase) -> Any:
        other = make_layer(kind, layer.input_size, layer.hidden_size, layer.num_layers)
        with torch.no_grad():
            next(other.parameters())[0, 0] += 0.01
        return correct(other)

    monkeypatch.setitem(FRAMEWORKS, name, dataclasses.replace(FRAMEWORKS[name], weights=wrong))
    rows = check(kind, name)
    assert all("differs from the float64 result" in row.problem for row in rows)
    worker = InThisProcess()
    assert time_rows(rows, {name: cast(Worker, worker)}, 2, 0.0) == rows
    assert worker.called == []


def test_a_framework_that_fails_has_its_error_in_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = dataclasses.replace(FRAMEWORKS["ONNX Runtime"], weights=lambda layer: b"not a model")
    monkeypatch.setitem(FRAMEWORKS, "ONNX Runtime", broken)
    (row,) = check("GRU", "ONNX Runtime")
    assert row.milliseconds is None
    assert row.problem


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gradients_of_keras_get_the_names_of_torch(kind: str) -> None:
    """The weights, read as gradients: a gradient has its weight's order and shape."""
    layer = getattr(torch.nn, kind)(3, 4, 2)
    if kind == "LSTM":
        layer = make_layer(kind, 3, 4, 2)  # Keras's bias is the sum of two
    arrays = [array for arrays in to_keras(layer) for array in arrays]
    found = FRAMEWORKS["Keras, graph"].gradients(
        {str(n): array for n, array in enumerate(arrays)}, kind
    )
    expected = {name: weight.detach().numpy() for name, weight in layer.named_parameters()}
    assert difference(found, expected, "") == 0
    assert ("bias_hh_l0" in found) == (kind == "GRU")


def test_frameworks_run_in_turn_and_ratios_are_taken_within_a_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    class Timed:
        def __init__(self, name: str, seconds: list[float]) -> None:
            self.name, self.seconds = name, iter(seconds)

        def call(self, *arguments: Any) -> float:
            assert arguments == ("run_round", "train", 0.5)
            order.append(self.name)
            return next(self.seconds)

    workers = {SCRATCH: Timed(SCRATCH, [1.0, 4.0, 2.0]), "PyTorch": Timed("PyTorch", [2.0] * 3)}
    rows = [Row("small", "GRU", "train", name, difference=0.0) for name in workers]
    ours, theirs = time_rows(rows, cast(dict[str, Worker], workers), 3, 0.5)
    assert order == [SCRATCH, "PyTorch", "PyTorch", SCRATCH, SCRATCH, "PyTorch"]
    assert (ours.median, ours.milliseconds) == (1.0, 2000.0)
    assert (theirs.low, theirs.median, theirs.high) == (0.75, 1.0, 1.5)
    assert theirs.milliseconds == 2000.0


def test_without_this_project_there_are_times_and_no_ratios(tmp_path: Path) -> None:
    """For example because its results differ."""

    class Timed:
        def call(self, *arguments: Any) -> float:
            return 0.5

    rows = [
        Row("small", "GRU", "train", SCRATCH, problem="train: output differs"),
        Row("small", "GRU", "train", "PyTorch", difference=1e-7),
    ]
    workers = cast(dict[str, Worker], {name: Timed() for name in (SCRATCH, "PyTorch")})
    ours, theirs = time_rows(rows, workers, 2, 0.5)
    assert str(ours).endswith("this project train: output differs")
    assert str(theirs).endswith("  500.000 ms, difference 1e-07")
    assert markdown([ours, theirs]).endswith("| failed | 500 ms |")
    draw_rows([*ROWS, ours, theirs], tmp_path / "map.png", "title")


def test_a_round_is_one_more_call_than_it_times(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    clock = iter([0.0, 3.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr(job, "_loaded", type("", (), {"train": lambda: calls.append("")}))
    monkeypatch.setattr(job.time, "perf_counter", lambda: next(clock))
    assert job.run_round("train", seconds=5.0) == 2.0
    assert len(calls) == 4


ROWS = [
    Row("rows", "LSTM", "train", SCRATCH, 1.0, 1.0, 1.0, 20.0, 1e-7),
    Row("rows", "LSTM", "train", "PyTorch", 0.8, 0.7, 0.9, 25.04, 1e-7),
    Row("rows", "LSTM", "inference", SCRATCH, 1.0, 1.0, 1.0, 5.0, 1e-7),
    Row("rows", "LSTM", "inference", "PyTorch", problem="AssertionError: output differs"),
    Row("rows", "LSTM", "inference", "OpenVINO", 1.25, 1.2, 1.3, 4.0, 1e-7),
]


def test_the_table_has_a_column_for_each_framework(tmp_path: Path) -> None:
    assert markdown(ROWS).splitlines() == [
        "| task | layer | phase | this project | PyTorch | OpenVINO |",
        "|---|---|---|---|---|---|",
        "| rows | LSTM | train | 20 ms | 25 ms (0.80) |  |",
        "| rows | LSTM | inference | 5 ms | failed | 4 ms (1.25) |",
    ]
    draw_rows(ROWS, tmp_path / "map.png", "title")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_real_run_compares_what_is_installed_and_names_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes: this project, torch.nn and ONNX Runtime."""
    monkeypatch.setitem(FRAMEWORKS, "Flax", Framework("flax_layers", "flax", ("no_such_flax",)))
    file = tmp_path / "frameworks.json"
    main(
        Arguments(
            quick=True, tasks=("streaming",), frameworks=(*INSTALLED, "Flax"), threads=1, json=file
        )
    )
    out = capsys.readouterr().out
    assert f"Flax is skipped: install it with {sys.executable} -m pip install flax\n" in out
    written = json.loads(file.read_text())
    assert written["about"]["PyTorch"] == f"torch {torch.__version__}"
    assert written["about"]["ONNX Runtime"].startswith("onnxruntime ")
    assert len(written["rows"]) == 2 * (3 + 2)
    for row in written["rows"]:
        assert row["milliseconds"] > 0
        assert row["median"] > 0
        assert row["problem"] == ""
        assert f"| {row['task']} | {row['kind']} | {row['phase']} | " in out


def test_a_framework_that_cannot_be_imported_is_skipped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FRAMEWORKS, "Flax", Framework("no_such_layers"))
    main(Arguments(quick=True, frameworks=("Flax",)))
    assert "Flax is skipped: ModuleNotFoundError: No module named" in capsys.readouterr().out


def test_bad_arguments_give_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (["--tasks", "columns"], f"tasks has 'columns': expected some of {known(ALL_TASKS)}"),
        (
            ["--frameworks", "Torch"],
            f"frameworks has 'Torch': expected some of {known(FRAMEWORKS)}",
        ),
        (["--threads", "0"], "threads is 0: expected at least 1"),
        (["--json", "none/a.json"], "json is none/a.json: there is no folder none"),
    ):
        monkeypatch.setattr(sys, "argv", ["frameworks", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(
                str(ROOT / "benchmarks" / "frameworks" / "__main__.py"), run_name="__main__"
            )
        assert ended.value.code == 2
        error = f"python -m benchmarks.frameworks: error: {message}\n"
        assert capsys.readouterr().err == error
    with pytest.raises(ConfigError, match="png is"):
        Arguments(png=ROOT)


def known(names: dict[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in names)
