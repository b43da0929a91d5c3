"""benchmarks/accuracy.py makes each run once, and writes tables, metrics and pictures."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import accuracy
from benchmarks.accuracy import Options, Row, curves, metrics_csv, read_results, table
from benchmarks.training_runs import make_runs
from command_line.errors import ConfigError
from tests.benchmarks.invented_runs import invent
from tests.helpers.runs import metrics


def options(tmp_path: Path, **changed: object) -> Options:
    given: dict[str, Any] = {"dataset": "digits", "epochs": 2, "run_dir": tmp_path / "runs"}
    return Options(**(given | changed))


def row(cell: str = "rnn", implementation: str = "builtin", sequence: str = "rows") -> Row:
    return Row(sequence, "strong", cell, implementation)


@pytest.mark.slow
def test_a_run_is_made_once_with_the_options_of_its_row(tmp_path: Path) -> None:
    chosen = options(tmp_path, epochs=1, hidden_size=16, num_layers=1, batch_size=100)
    small = Row("columns", "strong", "rnn", "builtin", "torch", 2e-3)
    job = small.job(chosen, 3)
    make_runs([job], workers=1)
    assert job.folder.name == "digits-columns-1-strong-rnn-builtin-1x16-torch-lr0.002-batch100-3"
    config = json.loads((job.folder / "config.json").read_text())
    expected = {"init": "torch", "learning_rate": 2e-3, "batch_size": 100, "seed": 3}
    assert expected.items() <= config.items()
    assert (config["sequence"], config["num_layers"], config["epochs"]) == ("columns", 1, 1)
    before = (job.folder / "metrics.json").stat().st_mtime_ns
    make_runs([job], workers=1)
    assert (job.folder / "metrics.json").stat().st_mtime_ns == before
    assert "epoch 1: " in job.folder.with_name(f"{job.folder.name}.log").read_text()
    line = table({small: read_results([job])}).splitlines()[-1]
    percent = f"{100 * metrics(job.folder)['test_accuracy']:.2f}"
    assert f"| strong: 1 x 16, torch, 0.002, 100 | {percent} | {percent} | {percent} |" in line


def test_a_table_has_mean_deviation_and_median_of_the_seeds(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    jobs = [row("gru").job(chosen, seed) for seed in (0, 1, 2)]
    for job, share, seconds in zip(jobs, (0.5, 0.75, 0.9), (10.0, 99.0, 30.0), strict=True):
        invent(job.folder, [0.1, share], seconds, cell="gru", implementation="builtin")
    line = table({row("gru"): read_results(jobs)}).splitlines()[-1]
    assert line == (
        "| GRU | builtin | strong: 2 x 128, orthogonal, 0.005, 50 | 71.67 ± 20.21 | 75.00 "
        "| 50.00, 75.00, 90.00 | 1,234 | 2 | 30 |"
    )


def test_unfinished_runs_are_not_in_a_table(tmp_path: Path) -> None:
    jobs = [row().job(options(tmp_path), seed) for seed in (0, 1, 2)]
    for job in jobs[:2]:
        invent(job.folder, [0.5])
    (jobs[1].folder / "checkpoint.safetensors").write_bytes(b"")
    assert list(read_results(jobs)) == [jobs[0].folder.name]


def test_the_metrics_of_a_run_are_one_line_for_each_epoch(tmp_path: Path) -> None:
    job = row().job(options(tmp_path), 0)
    invent(job.folder, [0.25, 0.75], batch_size=40)
    (run,) = read_results([job]).values()
    assert list(csv.DictReader(metrics_csv(run).splitlines())) == [
        # two steps of 40 images at 10 images per second
        {"epoch": "1", "training_loss": "1.000000", "test_accuracy": "0.2500", "seconds": "8.0"},
        {"epoch": "2", "training_loss": "0.500000", "test_accuracy": "0.7500", "seconds": "8.0"},
    ]


def test_a_curve_is_named_by_what_differs(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    results = {}
    for cell, implementation in (("rnn", "scratch"), ("gru", "scratch"), ("gru", "builtin")):
        job = row(cell, implementation).job(chosen, 0)
        invent(job.folder, [0.25, 0.5], cell=cell, implementation=implementation)
        results[row(cell, implementation)] = read_results([job])
    found = curves(results)
    assert list(found) == ["RNN, scratch", "GRU, scratch", "GRU, builtin"]
    assert found["GRU, builtin"] == [[25.0, 50.0]]
    one = {key: runs for key, runs in results.items() if key.implementation == "scratch"}
    assert list(curves(one)) == ["RNN", "GRU"]


def test_write_and_draw_use_the_finished_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- table digits-pixels-2 -->\n\nold\n\n<!-- end -->\nafter\n")
    for name, path in (("PAGE", page), ("RUNS", tmp_path / "csv"), ("FIGURES", tmp_path)):
        monkeypatch.setattr(accuracy, name, path)
    chosen = options(
        tmp_path,
        sequences=("pixels",),
        implementations=("scratch",),
        recipes=("strong",),
        finished=True,
        write=True,
        draw=True,
    )
    for seed in (0, 2):
        job = row("lstm", "scratch", "pixels").job(chosen, seed)
        invent(job.folder, [0.25, 0.5 + seed / 10], sequence="pixels")
    accuracy.main(chosen)
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == "digits, by pixels, 2 epochs: test accuracy in %"
    written = "\n".join(lines)
    assert "| 60.00 ± 14.14 | 60.00 | 50.00, 70.00 |" in written
    assert page.read_text() == (
        f"# Title\n\n<!-- table digits-pixels-2 -->\n\n{written}\n\n<!-- end -->\nafter\n"
    )
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == [
        "digits-pixels-2-strong-lstm-scratch-0.csv",
        "digits-pixels-2-strong-lstm-scratch-2.csv",
    ]
    assert (tmp_path / "accuracy_pixels.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["epochs", "workers", "checkpoint_every"])
def test_a_count_of_zero_raises(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 0"):
        options(tmp_path, **{name: 0})


def test_every_run_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(accuracy, "make_runs", lambda jobs, _: made.extend(jobs))
    accuracy.main(options(tmp_path, sequences=("rows", "pixels"), inits=("chrono", "torch")))
    assert len({job.folder for job in made}) == 2 * 2 * 3 * 2 * 2 * 3
