"""benchmarks/accuracy.py makes each run once and prints a table."""

import json
from pathlib import Path

import pytest

from benchmarks import accuracy
from benchmarks.accuracy import Options, Row, table, train_once
from command_line.errors import ConfigError
from tests.helpers.runs import metrics


def options(tmp_path: Path, **changed: object) -> Options:
    given = {"dataset": "digits", "epochs": 1, "run_dir": tmp_path / "runs", **changed}
    return Options(**given)


@pytest.mark.slow
def test_a_run_is_made_once_and_is_in_the_table(tmp_path: Path) -> None:
    chosen = options(tmp_path, cells=("rnn",), implementations=("builtin",), recipes=("strong",))
    row = Row("rnn", "builtin", "strong")
    train_once(row, 0, chosen)
    folder = row.folder(chosen, 0)
    before = (folder / "metrics.json").stat().st_mtime_ns
    train_once(row, 0, chosen)
    assert (folder / "metrics.json").stat().st_mtime_ns == before

    for seed, share in ((1, 0.5), (2, 0.75)):  # two more runs, with invented results
        other = row.folder(chosen, seed)
        other.mkdir()
        (other / "config.json").write_text((folder / "config.json").read_text())
        invented = metrics(folder) | {"test_accuracy": share, "seconds": 9e9}
        (other / "metrics.json").write_text(json.dumps(invented))
    first = 100 * metrics(folder)["test_accuracy"]
    line = table([row], chosen).splitlines()[-1]
    middle = sorted([first, 50, 75])[1]
    assert line == (
        f"| strong | RNN | builtin | {middle:.2f} % | {first:.2f}, 50.00, 75.00 | 9000000000 |"
    )


@pytest.mark.slow
def test_a_run_that_fails_raises(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file, not a directory")
    with pytest.raises(ConfigError, match=r"failed: train.py: error: run_dir is .*cannot write"):
        train_once(Row("rnn", "builtin", "strong"), 0, options(tmp_path))


@pytest.mark.parametrize("name", ["epochs", "workers"])
def test_a_count_of_zero_raises(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 0"):
        options(tmp_path, **{name: 0})


def test_every_run_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Row, int]] = []
    monkeypatch.setattr(accuracy, "train_once", lambda row, seed, _: made.append((row, seed)))
    monkeypatch.setattr(accuracy, "table", lambda rows, _: str(len(rows)))
    accuracy.main(options(tmp_path))
    assert len(set(made)) == 2 * 3 * 2 * 3
