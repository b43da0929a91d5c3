"""benchmarks.sweep: its cases, the check before timing, the summary, and the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.axes import Axes
from torch import nn

from benchmarks import sweep_cases
from benchmarks.implementations import PHASES
from benchmarks.sweep import ENVIRONMENTS, Arguments, Row, draw_rows, main, summary
from benchmarks.sweep_cases import CASES, LAYERS, SCRATCH
from command_line.errors import ConfigError

THREADS = torch.get_num_threads()
CELL = "one cell: B1 I128 H128"
STEP = "one step: B1 T1 I128 H128"
PACKED = "B32 T100 I40 H128, packed, unsorted"


def measure(name: str, kind: str = "LSTM", phase: str = "train") -> dict[str, dict[str, float]]:
    return sweep_cases.measure(name, kind, phase, seconds=0, min_rounds=2, threads=THREADS)


def test_there_are_98_combinations_of_layer_and_phase() -> None:
    assert sum(len(case.kinds) * len(PHASES) for case in LAYERS.values()) == 98


def test_every_case_converts_and_its_input_fits() -> None:
    for case in CASES.values():
        kind = case.kinds[-1]
        x, layer = case.input(), case.builtin(kind)
        data = getattr(x, "data", x)
        assert data.size(-1) == layer.input_size == case.sizes[0]
        assert data.dtype == next(layer.parameters()).dtype
        assert case.precision in ("float64", "float32", "bfloat16")


@pytest.mark.parametrize("name", [CELL, STEP, PACKED, "rows, L1, autocast to bfloat16"])
@pytest.mark.parametrize("phase", PHASES)
def test_equal_results_are_timed(name: str, phase: str) -> None:
    ratios = measure(name, "GRU", phase)
    assert ratios["builtin"]["median"] == 1
    assert ratios[SCRATCH]["median"] > 0
    assert ratios[SCRATCH]["milliseconds"] > 0


def changed(change: Callable[[nn.Module], None]) -> Callable[[nn.Module], nn.Module]:
    """A conversion that makes a mistake."""
    correct = sweep_cases.from_torch

    def convert(layer: nn.Module) -> nn.Module:
        converted = correct(layer)
        change(converted)
        return converted

    return convert


def shift_one_weight(layer: nn.Module) -> None:
    with torch.no_grad():
        next(layer.parameters())[0, 0] += 0.5


def flip_one_gradient(layer: nn.Module) -> None:
    """Only the sign differs, which a comparison of norms would miss."""
    next(layer.parameters()).register_hook(lambda gradient: -gradient)


@pytest.mark.parametrize("name", [CELL, STEP, PACKED, "rows, L1, float64", "rows, L1, bfloat16"])
@pytest.mark.parametrize(
    ("phase", "change", "named"),
    [
        ("inference", shift_one_weight, r"result \d of scratch"),
        ("train", flip_one_gradient, "weight_ih(_l0)? of scratch"),
    ],
)
def test_a_wrong_result_is_not_timed(
    name: str,
    phase: str,
    change: Callable[[nn.Module], None],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep_cases, "from_torch", changed(change))
    monkeypatch.setattr(sweep_cases, "interleave", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(AssertionError, match=named):
        measure(name, "RNN", phase)


def rows_of(medians: dict[str, Any], allocator: str = "kept") -> list[Row]:
    return [
        Row(allocator, case, "GRU", "train", median, 0.1, 9.0, 1.0, 2.0)
        if isinstance(median, float)
        else Row(allocator, case, "GRU", "train", problem=median)
        for case, median in medians.items()
    ]


def test_the_summary_counts_each_setting_and_group_apart() -> None:
    names = list(LAYERS)
    medians = [0.25, 1.0, 1.04, 1.1, 1.11, 4.0, "AssertionError: result 0 of scratch"]
    kept = rows_of(dict(zip(names, medians, strict=False)) | {CELL: 2.0})
    lines = list(map(str, summary([*kept, *rows_of({STEP: 0.5}, "default")])))
    assert lines[0] == (
        "kept, layers: 2 of 7 at most 1.00, 4 at most 1.10, geometric mean 1.04, 1 failed; worst: "
        f"4.00 GRU train, {names[5]}; 1.11 GRU train, {names[4]}; 1.10 GRU train, {names[3]}; "
        f"1.04 GRU train, {names[2]}; 1.00 GRU train, {names[1]}"
    )
    assert lines[1].startswith("kept, cells and the encoder: 0 of 1 at most 1.00, 0 at most 1.10")
    assert lines[2].startswith("default, layers: 1 of 1 at most 1.00")
    assert len(lines) == 3


def test_the_map_has_a_value_in_every_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    text = Axes.text
    monkeypatch.setattr(
        Axes, "text", lambda self, x, y, s, **options: texts.append(s) or text(self, x, y, s)
    )
    rows = [
        Row(allocator, case, "GRU", phase, median)
        for allocator in ("kept", "default")
        for case, median in (("a", 0.04), ("b", None), ("c", 5.0))
        for phase in PHASES
    ]
    draw_rows(rows, tmp_path / "map.png", "title")
    assert sorted(texts) == sorted(["0.04", "5.00", "×"] * 4)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_a_real_run_writes_its_files_and_reports_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is a process of its own; a case that fails does not end the run."""
    monkeypatch.setitem(CASES, "no such case: one cell", CASES[CELL])
    files = {"json": tmp_path / "sweep.json", "png": tmp_path / "sweep.png"}
    arguments = Arguments(quick=True, cases=("one cell: B1 ", "no such"), threads=1, **files)
    with pytest.raises(ConfigError, match=r"^6 cases failed; the first is .*KeyError"):
        main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  1 of 12  kept    one cell: B1 I128 H128")
    written = json.loads(files["json"].read_text())
    assert written["about"]["threads"] == 1
    assert len(written["rows"]) == 12
    assert all(row["median"] > 0 for row in written["rows"][:6])
    assert files["png"].read_bytes().startswith(b"\x89PNG")


def test_both_settings_of_the_allocator_are_processes_with_other_variables() -> None:
    assert Arguments(allocator="both").allocators == ["kept", "default"]
    assert ENVIRONMENTS["kept"]["MALLOC_TRIM_THRESHOLD_"] == "2000000000"
    assert set(ENVIRONMENTS["default"].values()) == {None}


def test_bad_arguments_raise_before_anything_is_timed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"json is .*: there is no folder"):
        Arguments(json=tmp_path / "none" / "sweep.json")
    with pytest.raises(ConfigError, match=r"png is .*: expected a file, not a folder"):
        Arguments(png=tmp_path)
    with pytest.raises(ConfigError, match=r"threads is 0"):
        Arguments(threads=0)
    with pytest.raises(ConfigError, match=r"cases has 'bfloat17': .*the names are rows: B100"):
        Arguments(cases=("one", "bfloat17"))
