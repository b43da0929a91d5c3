"""benchmarks.speed_page merges runs, and replaces only the sections of what was measured."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks import speed_page
from benchmarks.frameworks import measure
from benchmarks.frameworks.contenders import SCRATCH
from benchmarks.speed_page import (
    PAGE,
    Arguments,
    fastest,
    main,
    merge,
    replace_sections,
    smallest_batch,
    threads_section,
)
from benchmarks.sweep import Row
from command_line.errors import ConfigError
from scratch_cells import LSTM

needs_c = pytest.mark.skipif(
    LSTM(8, 8).backend_for(torch.zeros(28, 8, 8)).name != "c",
    reason="the C backend does not run here",
)

STEP = "one step: B1 T1 I128 H128"


def sweep_row(median: float, kind: str = "GRU") -> Row:
    return Row("kept", STEP, kind, "train", median, 0.5, 1.5, 10 * median, 10.0)


def test_runs_are_merged_by_row_whatever_their_order() -> None:
    runs = [[sweep_row(m), sweep_row(2 * m, "RNN")] for m in (1.0, 1.2, 0.9)]
    gru, rnn = merge([runs[0], runs[1][::-1], runs[2]])
    assert (gru.median, gru.low, gru.high) == (1.0, 0.9, 1.2)
    assert (gru.milliseconds, gru.builtin_milliseconds) == (10.0, 10.0)
    assert (rnn.median, rnn.low, rnn.high) == (2.0, 1.8, 2.4)


def test_a_row_that_failed_in_one_run_has_no_value() -> None:
    failed = dataclasses.replace(sweep_row(1.0), median=None, problem="result 0 of scratch")
    (row,) = merge([[sweep_row(1.0)], [failed]])
    assert (row.median, row.problem) == (None, "result 0 of scratch")


def test_a_line_is_ours_only_if_no_framework_is_faster() -> None:
    rows = [
        measure.Row("rows", kind, "train", name, ratio, ratio, ratio, 1.0, 1e-7)
        for kind, ratios in {"LSTM": [1.0, 0.9, 1.01], "GRU": [1.0, 0.9, 1.0]}.items()
        for name, ratio in zip([SCRATCH, "PyTorch", "Flax"], ratios, strict=True)
    ]
    assert fastest(rows) == {("rows", "LSTM", "train"): False, ("rows", "GRU", "train"): True}
    rows[3] = dataclasses.replace(rows[3], median=None, problem="train: output differs")
    assert fastest(rows)["rows", "GRU", "train"] is False


def between(text: str, begin: str, end: str) -> str:
    return text.partition(begin)[2].partition(end)[0]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page, which the program writes instead."""
    copy = tmp_path / "speed.md"
    shutil.copy(PAGE, copy)
    monkeypatch.setattr(speed_page, "PAGE", copy)
    monkeypatch.setattr(speed_page, "FIGURES", tmp_path)
    monkeypatch.setattr(speed_page, "threads_section", lambda: "")
    return copy


def test_the_sections_of_what_was_measured_are_replaced(page: Path, tmp_path: Path) -> None:
    before = page.read_text()
    file = tmp_path / "run.json"
    rows = [dataclasses.asdict(sweep_row(0.75)), dataclasses.asdict(sweep_row(1.5, "RNN"))]
    file.write_text(json.dumps({"about": {"torch": "2.0"}, "rows": rows}))
    main(Arguments(sweeps=(file, file)))
    text = page.read_text()
    assert f"| {STEP} | 0.75 (0.75 to 0.75) | 1.50 (1.50 to 1.50) |" in text
    assert "| kept | layers | 2 | 1 of 2 | 1 of 2 | 1.06 |" in text
    assert f"- kept, layers: 1.50 RNN train, {STEP}; 0.75 GRU train, {STEP}" in text
    assert (tmp_path / "sweep.png").is_file()
    assert not (tmp_path / "frameworks.png").exists()
    begin, end, threads = (
        f"<!-- {name} -->" for name in ("begin sweep", "end sweep", "begin threads")
    )
    assert text.partition(begin)[0] == before.partition(begin)[0]
    assert between(text, end, threads) == between(before, end, threads)

    row = measure.Row("rows", "GRU", "train", SCRATCH, 1.0, 1.0, 1.0, 20.0, 3e-7)
    other = dataclasses.replace(row, framework="Flax", median=0.5, milliseconds=40.0)
    found = {"about": {"Flax": "flax 0"}, "rows": [*map(dataclasses.asdict, (row, other))]}
    file.write_text(json.dumps(found))
    main(Arguments(frameworks=(file,)))
    text = page.read_text()
    assert "| rows | GRU | train | 20 ms | 40 ms (0.50) |" in text
    assert "This project is the fastest in 1 of 1 lines." in text
    assert "| train | 3e-07 | 3e-07 |" in text
    assert f"| {STEP} | 0.75 (0.75 to 0.75) | 1.50 (1.50 to 1.50) |" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"about": {}, "rows": [{"a": 1}]}'])
def test_another_file_is_one_line(content: str, page: Path, tmp_path: Path) -> None:
    before = page.read_text()
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"run.json is not a JSON file of benchmarks.sweep: "):
        main(Arguments(sweeps=(file,)))
    with pytest.raises(ConfigError, match=r"not a JSON file of benchmarks.frameworks: "):
        main(Arguments(frameworks=(file,)))
    assert page.read_text() == before


def test_a_page_without_the_section_is_not_written() -> None:
    with pytest.raises(ConfigError, match="has 0 sections threads: expected 1"):
        replace_sections("text", {"threads": "table"})


@needs_c
def test_the_table_of_threads_on_the_page_is_current() -> None:
    """If it is not: python -m benchmarks.speed_page."""
    assert threads_section() in PAGE.read_text()


@needs_c
def test_the_smallest_batch_is_the_first_that_runs_in_c() -> None:
    layer, threads = LSTM(256, 512), torch.get_num_threads()
    smallest = smallest_batch(layer, 4)
    torch.set_num_threads(4)
    try:
        names = [
            layer.backend_for(torch.zeros(28, batch, 256)).name
            for batch in (smallest - 1, smallest, 2 * smallest)
        ]
    finally:
        torch.set_num_threads(threads)
    assert names == ["bptt", "c", "c"]
