"""benchmarks/gallery.py has every cell of examples/, and writes their table."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gallery
from benchmarks.gallery import CELLS, Options, job, table
from command_line.errors import ConfigError
from tests.benchmarks.invented_runs import invent
from tests.helpers.paths import ROOT


def test_every_cell_of_examples_is_in_the_gallery() -> None:
    written = set()
    for path in (ROOT / "examples").glob("*.py"):
        for name in re.findall(r"--implementation examples/\w+\.py:(\w+)", path.read_text()):
            written.add((path.stem, name))
    listed = {(cell.file, cell.target) for cell in CELLS}
    assert {file for file, _ in written} - {"ablations"} == {file for file, _ in listed}
    for file, target in listed:
        assert isinstance(getattr(importlib.import_module(f"examples.{file}"), target), type)


def test_the_table_has_the_finished_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table gallery -->\n<!-- end -->\nafter\n")
    monkeypatch.setattr(gallery, "PAGE", page)
    chosen = Options(run_dir=tmp_path, finished=True, write=True)
    invent(job(CELLS[3], chosen).folder, [0.5, 0.9876])
    gallery.main(chosen)
    lines = capsys.readouterr().out.splitlines()
    assert lines[5] == "| peephole LSTM | `peephole_lstm.py` | the gates read c | 1,234 | 98.76 % |"
    assert lines[4].endswith("|  | not yet run |")
    assert len(lines) == 2 + len(CELLS)
    assert page.read_text().startswith(f"before\n<!-- table gallery -->\n\n{lines[0]}\n")
    assert table(chosen) in page.read_text()


def test_one_cell_can_be_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(gallery, "make_runs", lambda jobs, _: made.extend(jobs))
    gallery.main(Options(run_dir=tmp_path, names=("MinGRU",)))
    (run,) = made
    words = run.command()
    assert words[2:4] == ["--implementation", "examples/minimal_gru.py:MinGRU"]
    gallery.main(Options(run_dir=tmp_path))
    assert len({each.folder for each in made}) == len(CELLS)
    with pytest.raises(ConfigError, match="names has MinRNN: expected some of UGRNNCell, "):
        Options(names=("MinRNN",))
