"""benchmarks/memory_tasks.py counts the runs that meet the criterion of their task."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory_tasks
from benchmarks.memory_tasks import Options, Setting, settings_of
from command_line.errors import ConfigError
from training_loop.config import Config


def invent(folder: Path, task: str, losses: list[float], accuracy: float) -> None:
    """Write the folder of a finished run with these test losses."""
    config = Config(task=task, length=5, epochs=len(losses)).resolved("auto", "cpu")
    epochs = [
        {"epoch": n, "test_loss": loss, "test_accuracy": 0.1} for n, loss in enumerate(losses)
    ]
    epochs[-1]["test_accuracy"] = accuracy
    metrics = {"seconds": 1.0, "test_accuracy": accuracy, "epochs": epochs, "step_losses": [1.0]}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "model.safetensors").write_bytes(b"")


def options(tmp_path: Path, **changed: Any) -> Options:
    return Options(run_dir=tmp_path / "runs", seeds=(0, 1), finished=True, **changed)


def test_the_table_counts_successes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table memory-tasks -->\n<!-- end -->\n")
    monkeypatch.setattr(memory_tasks, "PAGE", page)
    monkeypatch.setattr(memory_tasks, "FIGURE", tmp_path / "figure.png")
    chosen = options(tmp_path, cells=("rnn", "lstm"), lengths=(5,), write=True, draw=True)
    adding, copying = settings_of(chosen)
    runs = [
        (adding, "lstm", 0, [0.2, 0.004], 0.3),
        (adding, "lstm", 1, [0.001, 0.02], 0.9),  # was below 0.01 only before the last epoch
        (copying, "rnn", 0, [2.0, 1.9], 0.2),
        (copying, "lstm", 0, [1.0, 0.1], 0.995),
        (copying, "lstm", 1, [1.0, 0.3], 0.999),
    ]
    for setting, cell, seed, losses, accuracy in runs:
        folder = setting.job(cell, seed, chosen).folder
        invent(folder, setting.task, losses, accuracy)
    memory_tasks.main(chosen)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| task | T | success | guessing | RNN | LSTM |"
    assert lines[2:] == [
        "| adding | 5 | loss below 0.01 | 0.167 | not yet run | 1 of 2, loss 0.012 |",
        "| copying | 5 | accuracy above 99 % | 2.079 | 0 of 1, loss 1.9 | 2 of 2, loss 0.2 |",
    ]
    assert "\n".join(lines) in page.read_text()
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_every_run_is_made_with_its_task_and_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(memory_tasks, "make_runs", lambda jobs, _: made.extend(jobs))
    memory_tasks.main(Options(run_dir=tmp_path))
    assert len({job.folder for job in made}) == 4 * 3 * 5
    pairs = {(job.options["task"], job.options["length"]) for job in made}
    assert pairs == {("adding", 100), ("adding", 400), ("copy", 50), ("copy", 100)}
    words = Setting("copy", 50).job("gru", 3, Options(run_dir=tmp_path)).command()
    assert words[2:8] == ["--task", "copy", "--length", "50", "--cell", "gru"]


def test_a_count_of_zero_raises() -> None:
    with pytest.raises(ConfigError, match="workers is 0"):
        Options(workers=0)
