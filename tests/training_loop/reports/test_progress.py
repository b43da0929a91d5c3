"""training_loop/reports/progress.py: a bar on a real terminal, periodic lines elsewhere."""

import os
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT
from training_loop.reports import progress as progress_module
from training_loop.reports.progress import progress_bar
from training_loop.trainer import StepMetrics

pty = pytest.importorskip("pty")


HIDE_CURSOR, SHOW_CURSOR, ERASE_LINE = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"


def step_metrics(step: int) -> StepMetrics:
    return StepMetrics(1000 + step, step, 0.25, 0.001, {}, 1234.5)


def test_nothing_is_printed_before_the_interval_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("epoch 1/2", steps=3) as show:
        for step in range(3):
            show(step_metrics(step + 1))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_a_line_is_printed_at_every_interval(
    quiet: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 31.0, 31.0, 40.0, 70.0, 70.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with progress_bar("epoch 1/2", steps=40, quiet=quiet) as show:
        for step in (10, 20, 30, 40):
            show(step_metrics(step))
    lines = [
        "epoch 1/2: step 20 of 40, loss 0.2500, 1234 sequences/s",
        "epoch 1/2: step 40 of 40, loss 0.2500, 1234 sequences/s",
    ]
    assert capsys.readouterr().out.splitlines() == ([] if quiet else lines)


def terminal_output(ending: str) -> str:
    """What a terminal receives during a pass that ends with the statement ``ending``."""
    program = (
        "from training_loop.reports.progress import progress_bar\n"
        "from training_loop.trainer import StepMetrics\n"
        "with progress_bar('epoch 1/2', steps=3, done=1) as show:\n"
        "    for step in (2, 3):\n"
        "        show(StepMetrics(step, step, 0.25, 0.001, {}, 1234.5))\n"
        f"    {ending}\n"
        "print('the line after')\n"
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    subprocess.run(
        [sys.executable, "-c", program], stdout=child, stderr=subprocess.DEVNULL, env=environment
    )
    os.close(child)
    shown = os.read(parent, 100_000).decode()
    os.close(parent)
    return shown


@pytest.mark.slow
def test_a_terminal_shows_a_bar_that_is_removed_at_the_end() -> None:
    shown = terminal_output("pass")
    assert "epoch 1/2" in shown
    assert "3/3" in shown
    assert "loss 0.2500, 1234 sequences/s" in shown
    assert shown.rindex(HIDE_CURSOR) < shown.rindex(SHOW_CURSOR) < shown.index("the line after")
    assert ERASE_LINE in shown[shown.rindex("3/3") : shown.index("the line after")]


@pytest.mark.slow
def test_the_terminal_is_restored_after_an_interrupt() -> None:
    shown = terminal_output("raise KeyboardInterrupt")
    assert shown.rindex(HIDE_CURSOR) < shown.rindex(SHOW_CURSOR)
    assert "the line after" not in shown
