"""Watch mode as a process with a terminal, real saves and real keys."""

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exercises.watch import FileWatcher
from tests.exercises.helpers import EXERCISE, line_of, solution, with_body
from tests.helpers.paths import ROOT

pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")

END_OF_ANSWER = "q quit"
MAX_WAIT = 60.0
ANSWER_SECONDS = 2.0
"""How long an answer may take once the server runs."""


class Session:
    """``python -m exercises watch`` with a terminal."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "my_exercises" / "part_3_gates" / f"{EXERCISE}.py"
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in a background process
            os.chdir(folder)
            os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm"}
            command = [sys.executable, "-m", "exercises", "watch", EXERCISE]
            os.execv(sys.executable, command)

    def read_until(self, text: str, seconds: float = MAX_WAIT) -> str:
        """What the process prints up to and including a text."""
        printed = b""
        deadline = time.monotonic() + seconds
        while text.encode() not in printed:
            assert time.monotonic() < deadline, printed.decode()
            if select.select([self.terminal], [], [], 0.05)[0]:
                printed += os.read(self.terminal, 65536)
        return printed.decode()

    def save(self, text: str) -> tuple[str, float]:
        """Save the learner's file as an editor does; the answer, and the seconds until it came."""
        started = time.monotonic()
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, self.file)
        return self.read_until(END_OF_ANSWER), time.monotonic() - started

    def press(self, key: str) -> None:
        os.write(self.terminal, key.encode())

    def exit_status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path)
    yield session
    os.close(session.terminal)
    try:
        os.kill(session.pid, signal.SIGKILL)
        os.waitpid(session.pid, 0)
    except (ProcessLookupError, ChildProcessError):  # it has ended
        pass


@pytest.mark.slow
def test_every_save_is_answered(session: Session) -> None:
    shown = session.read_until(END_OF_ANSWER)
    assert "One step of an LSTM" in shown
    assert "c' = f ⊙ c + i ⊙ g" in shown
    assert "not written yet" in shown

    wrong = solution().replace("i * g", "i + g")
    syntax = with_body("return (h")
    raising = with_body("return h.no, c")
    # What is saved, the text of the line, and a part of the answer.
    saves = [
        (wrong, "i + g", "should compute   c' = f ⊙ c + i ⊙ g"),
        (syntax, "return (h", "syntax error: '(' was never closed"),
        (raising, "return h.no", "no attribute 'no'"),
        (solution(), "", f"passed  {EXERCISE}"),
    ]
    seconds = []
    for text, part, answer in saves:
        printed, waited = session.save(text)
        assert answer in printed
        assert not part or f"{EXERCISE}.py:{line_of(text, part)} " in printed
        seconds.append(waited)
    assert min(seconds) < ANSWER_SECONDS  # the others may wait for other tests

    session.press("h")
    assert "hint 1 of 3" in session.read_until("hint 1 of 3")
    session.press("s")
    assert "return" in session.read_until("return h_next")
    session.press("n")
    assert "Exercise" in session.read_until(END_OF_ANSWER)
    session.press("s")
    session.read_until("press y to show the solution")
    session.press("q")  # any key but y: no
    session.press("l")
    session.read_until("save any file")
    session.press("q")
    assert session.exit_status() == 0


@pytest.mark.slow
def test_a_loop_without_an_end_is_replaced_by_the_next_save(session: Session) -> None:
    session.read_until(END_OF_ANSWER)
    session.file.write_text(with_body("import time", "while True:", "    time.sleep(0.01)"))
    time.sleep(1)
    printed, _ = session.save(solution())
    assert f"passed  {EXERCISE}" in printed
    session.press("\x03")  # Ctrl-C
    assert session.exit_status() == 130


def test_a_file_has_changed_when_its_content_has(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    watcher = FileWatcher({"a": path})
    assert watcher.changed() is None
    path.write_text("1")
    assert watcher.changed() == "a"
    assert watcher.changed() is None
    os.utime(path, (1, 1))
    assert watcher.changed() is None
    path.unlink()  # in the middle of a save
    assert watcher.changed() is None
    path.write_text("1")
    assert watcher.changed() is None
    path.write_text("2")
    assert watcher.changed() == "a"
