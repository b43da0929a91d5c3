"""cell_verifier/supervisor.py: whatever the cell does, a verdict or a reason, and no process left.

Each cell is equal to torch.nn's RNNCell, apart from what the test adds to its forward pass.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cell_verifier.report import Report
from cell_verifier.supervisor import judge, read_answer
from tests.cell_verifier.test_command import alive, run
from tests.helpers.paths import ROOT

CELL = """
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path
from torch import nn

FOLDER = Path(__file__).parent

def leave_process(**options):
    if not list(FOLDER.glob("*.pid")):
        child = subprocess.Popen(["sleep", "600"], **options)
        (FOLDER / f"{child.pid}.pid").touch()

class MyRNN(nn.RNNCell):
    def forward(self, x, h=None):
        ACTION
        return super().forward(x, h)
"""


def write_cell(folder: Path, *action: str) -> str:
    path = folder / "cell.py"
    path.write_text(CELL.replace("ACTION", "\n        ".join(action)))
    return f"{path}:MyRNN"


def processes(folder: Path) -> list[int]:
    """The processes that the cell has recorded."""
    return [int(path.stem) for path in folder.glob("*.pid")]


ENDS = {
    "exit": ("leave_process()", "os._exit(7)", "exit status 7"),
    "crash": ("leave_process()", "ctypes.string_at(0)", "killed by SIGSEGV"),
    "own session": ("leave_process(start_new_session=True)", "os._exit(0)", "exit status 0"),
    "fork": (
        "pid = os.fork()",
        "(FOLDER / f'{pid}.pid').touch() if pid else time.sleep(600); os._exit(9)",
        "exit status 9",
    ),
    "daemon": (
        "pid = os.fork()",
        "pid or (os.setsid(), leave_process(), os._exit(0)); os.waitpid(pid, 0); os._exit(5)",
        "exit status 5",
    ),
    "real-time signal": ("leave_process()", "os.kill(os.getpid(), 40)", "killed by signal 40"),
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_a_cell_that_ends_its_process_gives_a_reason_and_leaves_no_process(
    end: str, tmp_path: Path
) -> None:
    *action, reason = ENDS[end]
    started = time.monotonic()
    report = judge(write_cell(tmp_path, *action), "rnn", timeout=200)
    assert report.verdict == "unchecked"
    assert report.reason == f"the process ended without a verdict: {reason}"
    assert time.monotonic() - started < 100
    (process,) = processes(tmp_path)
    assert not alive(process)


UNHARMED = {
    "process in another session": "leave_process(start_new_session=True)",
    "every descriptor written to": (
        "for n in range(3, 256):\n"
        "            try: os.write(n, b'\\xff' * 4)\n"
        "            except OSError: pass"
    ),
    "every descriptor closed": "os.closerange(0, 256)",
    "another folder and other streams": "os.chdir('/'); sys.stdout = sys.stderr = None",
    "exit handlers and threads": (
        "import atexit, threading; atexit.register(time.sleep, 600); "
        "threading.Thread(target=time.sleep, args=(600,)).start()"
    ),
    "SIGINT, SIGTERM and SIGHUP handled": (
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; leave_process()"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNHARMED)
def test_a_verdict_is_given_whatever_the_cell_does_to_its_process(
    name: str, tmp_path: Path
) -> None:
    report = judge(write_cell(tmp_path, UNHARMED[name]), "rnn", timeout=200)
    assert (report.verdict, report.reason) == ("equal", "equal to torch.nn's RNN in every check")
    assert not any(map(alive, processes(tmp_path)))


def reset_signals() -> None:
    """Background processes of a shell ignore Ctrl-C, those of nohup a hang-up; so do children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_command(number: int, tmp_path: Path) -> None:
    target = write_cell(
        tmp_path,
        "leave_process(start_new_session=True)",
        "(FOLDER / f'{os.getpid()}.pid').touch()",
        "time.sleep(600)",
    )
    command = subprocess.Popen(
        [sys.executable, "-m", "cell_verifier", target, "--against", "rnn", "--timeout", "1e300"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=reset_signals,
    )
    while len(processes(tmp_path)) < 2:
        time.sleep(0.05)
        assert command.poll() is None
    command.send_signal(number)
    out, _ = command.communicate(timeout=60)  # ends only when no process has the output open
    assert command.returncode == (130 if number == signal.SIGINT else -number)
    assert out == (b"cell_verifier: interrupted\n" if number == signal.SIGINT else b"")
    assert not any(map(alive, processes(tmp_path)))


@pytest.mark.slow
def test_what_the_cell_prints_is_not_in_the_report(tmp_path: Path) -> None:
    target = write_cell(tmp_path, "print('inside', chr(0xd800)); os.write(1, b'directly\\n')")
    done = run(target, "--against", "rnn", "--timeout", "1e300")
    assert done.returncode == 0
    assert done.stdout.startswith("equal  MyRNN against rnn: ")
    assert "inside" not in done.stdout
    assert "directly" not in done.stdout
    assert "inside" not in done.stderr  # print is captured
    assert "directly" in done.stderr


@pytest.mark.slow
def test_a_message_that_cannot_be_encoded_is_printed_and_written(tmp_path: Path) -> None:
    target = write_cell(tmp_path, "raise ValueError('a' + chr(0xd800) + chr(27) + 'b\\nc')")
    path = tmp_path / "report.json"
    done = run(target, "--against", "rnn", "--json", str(path))
    assert (done.returncode, done.stderr) == (2, "")
    (line,) = done.stdout.splitlines()
    assert r"cell.py:15: ValueError: a\ud800\x1bb c" in line
    assert r"ValueError: a\ud800\x1bb c" in json.loads(path.read_text())["reason"]


@pytest.mark.parametrize("timeout", ["nan", "inf", "-inf", "0"])
def test_a_timeout_that_is_not_a_duration_gives_one_line(timeout: str) -> None:
    done = run("my.py:MyLSTM", "--against", "lstm", f"--timeout={timeout}")
    assert (done.returncode, done.stdout) == (2, "")
    message = f"--timeout is {timeout}: expected a positive, finite number of seconds"
    assert done.stderr == f"cell_verifier: error: {message}\n"


def test_a_defect_of_the_verifier_has_exit_status_2() -> None:
    program = (
        "import sys\n"
        "from cell_verifier import command\n"
        "def judge(*arguments): raise RuntimeError('a defect')\n"
        "command.judge = judge\n"
        "sys.argv[1:] = ['torch.nn:LSTM', '--against', 'lstm']\n"
        "command.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("RuntimeError: a defect\n")


@pytest.mark.parametrize("answer", [b"", b"garbage", b"\x80\x05N.", b"\xff" * 100])
def test_an_incomplete_answer_is_no_verdict(answer: bytes) -> None:
    report = read_answer(answer, "cell.py:MyRNN", "rnn")
    assert (report.subject, report.verdict, report.exit_status) == ("MyRNN", "unchecked", 2)
    assert "ended" in report.reason


def test_the_content_of_another_type_is_no_verdict() -> None:
    import pickle

    answer = pickle.dumps(("the reason", pickle.dumps("equal")))
    assert read_answer(answer, "cell.py:MyRNN", "rnn").reason == "the reason"
    equal = Report("MyRNN", "rnn", "equal", "")
    assert read_answer(pickle.dumps(("", pickle.dumps(equal))), "a:b", "rnn") == equal


def test_without_space_for_temporary_files_there_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    for folder in ("TEMP", "TMP"):
        monkeypatch.delenv(folder, raising=False)
    report = judge("torch.nn:LSTMCell", "gru", timeout=100)
    assert report.exit_status == 2
    assert os.listdir(tmp_path) == []


def test_the_command_does_not_import_torch() -> None:
    program = "import sys, cell_verifier.command; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
