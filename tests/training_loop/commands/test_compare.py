"""training_loop/commands/compare.py: a table and a plot of several runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line.errors import ConfigError, printable
from tests.helpers.runs import interrupt, metrics, small
from train import train
from training_loop.commands import compare as module
from training_loop.commands.compare import compare

pytestmark = pytest.mark.usefixtures("blank_plots")


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


def content(**changes: object) -> str:
    """A valid metrics.json with changes."""
    valid = {"seconds": 1.0, "step_losses": [2.0], "epochs": [{"test_accuracy": 0.5}]}
    return json.dumps(valid | changes)


INVALID = [
    "",
    "[]",
    '{"test_accuracy": 1}',
    "[" * 100_000,
    content(seconds="long"),
    content(seconds=None),
    content(step_losses=[]),
    content(step_losses=["a"]),
    content(step_losses=[10**400]),
    content(step_losses=float("nan")),
    content(epochs=[]),
    content(epochs={}),
    content(epochs=[0.5]),
    content(epochs=[{}]),
    content(epochs=[{"test_accuracy": True}]),
    content(epochs=[{"validation_accuracy": 0.5}]),
]


@pytest.mark.parametrize("content", INVALID, ids=lambda text: text[:60])
def test_an_invalid_metrics_file_is_an_error(finished: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ConfigError, match=r"json (cannot be read|is not a run's metrics): "):
        compare([finished, tmp_path])


LONG = "20260101-120000-digits-rows-scratch-lstm"


def test_similar_long_names_are_shown_in_full(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns, where a cut name would look like the other one."""
    folders = [Path(shutil.copytree(finished, tmp_path / f"{LONG}-{n}")) for n in (2, 3)]
    compare(folders)
    table = capsys.readouterr().out.partition("result")[0]
    names = "".join(line.split("│")[1].strip() for line in table.splitlines() if "│" in line)
    assert f"{LONG}-2{LONG}-3" in names


def test_the_plot_of_an_earlier_comparison_is_ignored(finished: Path, tmp_path: Path) -> None:
    """As in --compare runs/*."""
    for name in ("one", "two"):
        shutil.copytree(finished, tmp_path / name)
    for _ in range(2):
        compare(sorted(tmp_path.iterdir()))
    with pytest.raises(ConfigError, match="compare is given 1 run: expected two or more"):
        compare([tmp_path / "one", tmp_path / "comparison.png"])


@pytest.mark.parametrize(
    "name", ["[red]run", "[link=x]y", "$\\frac$", "_run", "a\nb", "a\udce9b", "x" * 200]
)
def test_a_run_of_any_name_is_compared(
    name: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [Path(shutil.copytree(finished, tmp_path / each)) for each in (name, "other")]
    compare(folders)
    table = capsys.readouterr().out.partition("result")[0]
    names = "".join(line.split("│")[1].strip() for line in table.splitlines() if "│" in line)
    assert printable(name) in names


def test_runs_of_the_same_name_in_two_folders_are_distinguished(
    finished: Path, tmp_path: Path, drawn_names: list[str]
) -> None:
    folders = [Path(shutil.copytree(finished, tmp_path / each / "run")) for each in "ab"]
    compare(folders)
    assert drawn_names == ["a/run (scratch gru)", "b/run (scratch gru)"]
    with pytest.raises(ConfigError, match=r"compare is given \S+ twice: expected different runs"):
        compare([folders[0], folders[0]])


@pytest.fixture
def drawn_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are drawn."""
    names: list[str] = []
    draw = module.draw_comparison

    def spy(file: Any, runs: Any, *labels: str) -> None:
        names.extend(runs)
        draw(file, runs, *labels)

    monkeypatch.setattr(module, "draw_comparison", spy)
    return names
