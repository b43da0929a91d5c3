"""training_loop/progress.py: a bar on a real terminal, plain lines where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training_loop import progress as progress_module
from training_loop.progress import progress

pty = pytest.importorskip("pty")

ROOT = Path(__file__).resolve().parent.parent
HIDE_CURSOR, SHOW_CURSOR, ERASE_LINE = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"


def test_every_batch_is_handed_on(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("epoch 1/2", steps=3) as counted:
        assert list(counted(iter("abc"))) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")  # quicker than a line is due


def test_plain_lines_come_once_in_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 31.0, 31.0, 40.0, 70.0, 70.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with progress("epoch 1/2", steps=4) as counted:
        list(counted(iter("abcd")))
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2: 1 of 4 batches",
        "epoch 1/2: 3 of 4 batches",
    ]


def on_a_terminal(ending: str) -> str:
    """What a terminal receives while three batches are counted, the last followed by ``ending``."""
    program = (
        "from training_loop.progress import progress\n"
        "with progress('epoch 1/2', steps=3) as counted:\n"
        "    for batch in counted([1, 2, 3]):\n"
        "        pass\n"
        f"    {ending}\n"
        "print('the line after')\n"
    )
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    subprocess.run(
        [sys.executable, "-c", program], stdout=its, stderr=subprocess.DEVNULL, env=environment
    )
    os.close(its)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    return shown


def test_a_terminal_gets_a_bar_that_is_gone_afterwards() -> None:
    shown = on_a_terminal("pass")
    assert "epoch 1/2" in shown
    assert "3/3" in shown
    assert shown.rindex(HIDE_CURSOR) < shown.rindex(SHOW_CURSOR) < shown.index("the line after")
    assert ERASE_LINE in shown[shown.rindex("3/3") : shown.index("the line after")]


def test_a_terminal_is_put_right_after_an_interrupt() -> None:
    shown = on_a_terminal("raise KeyboardInterrupt")
    assert shown.rindex(HIDE_CURSOR) < shown.rindex(SHOW_CURSOR)
    assert "the line after" not in shown
