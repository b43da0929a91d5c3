"""training_loop/commands/compare.py: a table and a plot of several runs."""

from pathlib import Path

import pytest

from command_line.errors import ConfigError
from tests.helpers.runs import interrupt, metrics, small
from train import train
from training_loop.commands.compare import compare


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(tmp_path_factory.mktemp("finished"), cell="gru", epochs=3))


def test_a_table_is_printed_and_a_plot_written(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train(small(tmp_path, implementation="builtin"))
    capsys.readouterr()
    plot = compare([other, finished])
    assert plot == tmp_path / "comparison.png"
    assert plot.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for folder in (other, finished):
        assert f"{100 * metrics(folder)['test_accuracy']:.2f} %" in printed
    assert printed.endswith(f"result  plot of 2 runs -> {plot}\n")


def test_runs_tested_on_different_images_are_an_error(finished: Path, tmp_path: Path) -> None:
    other = train(small(tmp_path, validation=True))
    with pytest.raises(ConfigError, match=r"runs tested on digits \(test\), digits \(valid"):
        compare([finished, other])
    assert not (finished.parent / "comparison.png").exists()


def test_a_run_without_a_finished_epoch_is_an_error(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(small(tmp_path), monkeypatch, 9)
    with pytest.raises(ConfigError, match=r"run has no metrics\.json: no epoch is finished yet"):
        compare([finished, tmp_path / "run"])


@pytest.mark.parametrize("content", ["", "[]", '{"test_accuracy": 1}'])
def test_an_invalid_metrics_file_is_an_error(finished: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ConfigError, match=r"json (cannot be read|is not a run's metrics): "):
        compare([finished, tmp_path])
