"""Whatever a learner's file does, the answer is one readable message, from a process of its own."""

import dataclasses
import os
import time
from pathlib import Path

import pytest

from exercises.exercise import Entry, find_exercise
from exercises.result import Result, text_lines
from exercises.runner import Check, check
from tests.exercises.helpers import EXERCISE, TASK, line_of, solution, with_body

SEED = 3


def entry_with_limit(seconds: float) -> Entry:
    entry = find_exercise(EXERCISE)
    return dataclasses.replace(entry, exercise=dataclasses.replace(entry.exercise, timeout=seconds))


def result_of(text: str | bytes, folder: Path, seconds: float = 20.0) -> Result:
    path = folder / f"{EXERCISE}.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return check(entry_with_limit(seconds), path, SEED)


def test_a_right_answer_passes(tmp_path: Path) -> None:
    result = result_of(f"{solution()}\nprint('loaded')\n", tmp_path)
    assert result.passed
    assert set(text_lines(result)) == {f"passed   {EXERCISE}", "printed  loaded"}


def test_a_wrong_answer_has_the_line_and_the_seed(tmp_path: Path) -> None:
    text = solution().replace("i * g", "i + g")
    result = result_of(text, tmp_path)
    assert (result.status, result.line) == ("failed", line_of(text, "i + g"))
    assert result.proved
    assert "c' = f ⊙ c + i ⊙ g" in result.expected
    assert f"--seed {SEED}" in "\n".join(text_lines(result))


# What the file does, the text of its line, and a part of the message.
FILES = {
    "a syntax error": (with_body("return (h"), "return (h", "syntax error: '(' was never closed"),
    "a wrong indentation": (
        with_body("a = 1", "  b = 2"),
        "  b = 2",
        "indentation error: unexpected indent",
    ),
    "an exception": (with_body("return h.no, c"), "return h.no", "no attribute 'no'"),
    "an exception at the import": (
        solution().replace("import torch\n", "import torch\nimport no_such_module\n", 1),
        "import no_such_module",
        "No module named 'no_such_module'",
    ),
    "an exit": (with_body("raise SystemExit(0)"), "raise SystemExit", "SystemExit: 0"),
    "a Ctrl-C of its own": (
        with_body("raise KeyboardInterrupt"),
        "raise KeyboardInterrupt",
        "KeyboardInterrupt",
    ),
    "an endless recursion": (
        with_body("return lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh)"),
        "return lstm_step",
        "RecursionError: maximum recursion depth exceeded",
    ),
    "another argument": (
        solution().replace("b_hh: Tensor\n", "b_hh: Tensor, more: int\n", 1),
        "def lstm_step(",
        "missing 1 required positional argument: 'more'",
    ),
    "no return": (
        solution().replace("return h_next", "h_next"),
        "def lstm_step(",
        "returns nothing",
    ),
    "nothing": (with_body(f"# TODO: {TASK}", "raise NotImplementedError"), "raise Not", TASK),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_not_run_is_answered_with_the_line(name: str, tmp_path: Path) -> None:
    text, part, message = FILES[name]
    result = result_of(text, tmp_path)
    assert not result.passed
    assert result.line == line_of(text, part)
    assert message in result.message
    assert part.strip() in result.source
    assert "\n" not in result.message


@pytest.mark.parametrize(
    "lines",
    [
        ("while True:", "    time.sleep(0.01)"),
        ("for step in iter(int, 1):", "    print('x' * 1000, flush=True)", "    time.sleep(0.01)"),
        ("try:", "    time.sleep(60)", "except BaseException:", "    pass"),
    ],
    ids=["a loop", "a loop that prints", "a wait in a try"],
)
def test_a_loop_without_an_end_is_answered_with_the_line(
    lines: tuple[str, ...], tmp_path: Path
) -> None:
    text = with_body("import time", *lines, "return h, c")
    result = result_of(text, tmp_path, seconds=0.5)
    assert result.status == "error"
    assert result.message == "no result after 0.5 seconds: is there a loop without an end?"
    assert line_of(text, lines[0]) <= result.line <= line_of(text, "return h, c")
    assert len(result.printed) <= 1100


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("os.kill(os.getpid(), 11)", "the process ended: killed by SIGSEGV"),
        ("os._exit(0)", "the process ended: exit status 0"),
    ],
)
def test_a_crash_is_answered(line: str, message: str, tmp_path: Path) -> None:
    result = result_of(with_body("import os", line), tmp_path)
    assert (result.status, result.message) == ("error", message)


def test_a_file_that_is_not_text_is_answered(tmp_path: Path) -> None:
    assert "cannot be read: UnicodeDecodeError" in result_of(b"\xff\xfe", tmp_path).message
    assert "null bytes" in result_of("x = 1\0", tmp_path).message
    assert check(find_exercise(EXERCISE), tmp_path / "none.py").status == "missing"


def test_what_the_file_prints_is_part_of_the_answer_and_bounded(tmp_path: Path) -> None:
    text = with_body("print('shape', tuple(x.shape))", "print('y' * 10**6)", "return c, h")
    result = result_of(text, tmp_path)
    assert result.printed.startswith("shape (")
    assert len(result.printed) < 1100


@pytest.fixture
def pid_of_child(tmp_path: Path) -> int:
    """A check that was stopped while a process that the learner's file started was running."""
    file = tmp_path / "pid"
    program = (
        f"child = subprocess.Popen(['sleep', '60']); open({str(file)!r}, 'w').write(str(child.pid))"
    )
    path = tmp_path / f"{EXERCISE}.py"
    path.write_text(with_body("import subprocess, time", program, "time.sleep(60)"))
    running = Check(entry_with_limit(30), path, SEED)
    while not (file.exists() and file.read_text()):
        running.poll(0.05)
    running.stop()
    return int(file.read_text())


def test_a_stopped_check_leaves_no_process(pid_of_child: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid_of_child, 0)
            state = Path(f"/proc/{pid_of_child}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":  # ended; its parent has not yet noticed
            return
        time.sleep(0.05)
    pytest.fail("the process is still running")
