"""benchmarks/training_runs.py: missing runs are made and interrupted ones resumed."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.pages import write_table
from benchmarks.training_runs import ROOT, Job, make_runs
from command_line.errors import ConfigError
from tests.helpers.runs import assert_same_results, interrupt, small
from train import train

OPTIONS = {"dataset": "digits", "epochs": 3, "hidden-size": 16, "device": "cpu", "seed": 1}


def test_the_command_of_a_new_run_has_its_options(tmp_path: Path) -> None:
    job = Job(tmp_path / "run", OPTIONS | {"validation": True})
    python, program, *words = job.command()
    assert (python, program) == (sys.executable, "train.py")
    given = dict(zip(words[:-1:2], words[1:-1:2], strict=True))
    assert given["--hidden-size"] == "16"
    assert given["--run-dir"] == str(tmp_path / "run")
    assert words[-1] == "--validation"


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_though_others_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process resumes it within its second epoch, and ends as an uninterrupted run."""
    config = small(tmp_path, epochs=3, seed=1, checkpoint_every=10)
    interrupt(config, monkeypatch, 29 + 7)
    bad, worse = (Job(tmp_path / name, OPTIONS | {"epochs": 0}) for name in ("bad", "worse"))
    with pytest.raises(ConfigError, match=r"bad failed: train.py: error: epochs is 0.*\(and 1 mo"):
        make_runs([bad, Job(tmp_path / "run", OPTIONS), worse], workers=1)
    whole = train(dataclasses.replace(config, run_dir=tmp_path / "whole"))
    assert_same_results(tmp_path / "run", whole)


@pytest.mark.slow
def test_sigterm_ends_the_runs_with_a_checkpoint(tmp_path: Path) -> None:
    """A run that continues after its command would hold the folder that the next command needs."""
    program = (
        "from pathlib import Path; from benchmarks.training_runs import *;"
        "from command_line.program import clean_exit\n"
        "with clean_exit('runs'):\n"
        f"    make_runs([Job(Path({str(tmp_path / 'run')!r}), {OPTIONS | {'epochs': 5000}})], 1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "run.log"
    while not (log.exists() and "epoch 1" in log.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "repeat the command to resume them" in error
    saved = (tmp_path / "run" / "checkpoint.safetensors").stat().st_mtime_ns
    time.sleep(0.3)  # an epoch takes less, and would write a checkpoint
    assert (tmp_path / "run" / "checkpoint.safetensors").stat().st_mtime_ns == saved


def test_a_table_of_a_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table x -->\nold\n<!-- end -->\nb\n<!-- table y -->\n<!-- end -->\n")
    write_table(page, "y", "| new |")
    write_table(page, "x", "| other |")
    assert page.read_text() == (
        "a\n<!-- table x -->\n\n| other |\n\n<!-- end -->\nb\n"
        "<!-- table y -->\n\n| new |\n\n<!-- end -->\n"
    )
    with pytest.raises(ConfigError, match=r"page.md has no table z: expected the lines <!-- tab"):
        write_table(page, "z", "")
