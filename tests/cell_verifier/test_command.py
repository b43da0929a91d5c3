"""python -m cell_verifier as a user runs it: exit status, output, files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from cell_verifier import verify
from cell_verifier.rendering import show
from cell_verifier.report import plain_text
from cell_verifier.supervisor import judge
from tests.cell_verifier.terminal import as_text
from tests.helpers.paths import ROOT

RIGHT = ROOT / "tests" / "cell_verifier" / "cells" / "right"


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cell_verifier", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_equal_is_exit_status_0() -> None:
    done = run(f"{RIGHT / 'lstm_torch_names.py'}:MyLSTM", "--against", "lstm")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("equal  MyLSTM against lstm")
    assert "\x1b" not in done.stdout


def test_different_is_exit_status_1_and_json(tmp_path: Path) -> None:
    (tmp_path / "my_cell.py").write_text(
        (RIGHT / "lstm_stacked_linear.py")
        .read_text()
        .replace("o * torch.tanh(c_next)", "o * c_next")
    )
    done = run("my_cell.py:MyLSTM", "--against", "lstm", "--json", "report.json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "mistake    missing-output-tanh" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "different"
    assert report["mistakes"] == ["missing-output-tanh"]
    assert report["weights"]["x2h.weight"] == "weight_ih"
    assert {"name", "covers", "passed", "difference"} <= set(report["checks"][0])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "my_cell.py",
        "report.json",
    ]


def test_arguments_of_the_constructor_are_passed() -> None:
    target = f"{ROOT / 'tests/cell_verifier/cells/published/second.py'}:UnclearArgument"
    done = run(target, "--against", "gru", "--args", "flavour=mint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note  arguments: compared with flavour=mint" in done.stdout


@pytest.mark.slow
def test_at_the_timeout_the_cell_and_its_processes_are_killed(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, subprocess, time\n"
        "from pathlib import Path\n"
        "from torch import nn\n"
        "class MyRNN(nn.RNNCell):\n"
        "    def forward(self, x, h=None):\n"
        "        child = subprocess.Popen(['sleep', '600'])\n"
        "        Path('pids').write_text(f'{os.getpid()} {child.pid}')\n"
        "        while True:\n"
        "            time.sleep(1)\n"
    )
    started = time.monotonic()
    done = run("slow.py:MyRNN", "--against", "rnn", "--timeout", "15", cwd=tmp_path)
    assert done.returncode == 2
    assert "no verdict within 15 seconds" in done.stdout
    assert time.monotonic() - started < 60
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    for _ in range(20):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["my.py:MyLSTM", "--against", "lstm", "--json", "missing/folder.json"],
            "--json is missing/folder.json: the folder missing does not exist; create it",
        ),
        (
            ["my.py:MyLSTM", "--against", "lstm", "--timeout", "-1"],
            "--timeout is -1: expected a positive, finite number of seconds",
        ),
        (
            ["my.py:MyLSTM", "--against", "lstm", "--bad"],
            "unrecognized option --bad: see --help",
        ),
        (
            ["my.py:MyLSTM", "--agianst", "lstm"],
            "unrecognized option --agianst: did you mean --against?",
        ),
        (["my.py:MyLSTM"], "the option --against is missing: expected rnn, gru or lstm"),
        (
            ["my.py:MyLSTM", "--against", "lstm", "--args", "classes"],
            "--args: 'classes' is not NAME=VALUE; write for example output_size=5",
        ),
    ],
)
def test_bad_arguments_give_one_line_and_exit_status_2(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"cell_verifier: error: {message}\n"


def test_a_missing_file_gives_one_line_and_exit_status_2() -> None:
    done = run("nowhere.py:MyLSTM", "--against", "lstm")
    assert (done.returncode, done.stderr) == (2, "")
    assert "nowhere.py is not a file: give the path of a Python file" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_report_that_cannot_be_written_gives_one_line_and_exit_status_2(tmp_path: Path) -> None:
    target = f"{RIGHT / 'lstm_torch_names.py'}:MyLSTM"
    done = run(target, "--against", "lstm", "--json", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        f"cell_verifier: error: --json is {tmp_path}: cannot write there (Is a directory)\n"
    )


def test_ctrl_c_gives_one_line_and_exit_status_130() -> None:
    """A terminal sends SIGINT to all processes of the command, here while they import torch."""
    program = (
        "import sys\n"
        "from cell_verifier.command import Arguments, main\n"
        "from command_line.program import clean_exit\n"
        "print('imported', flush=True)\n"
        "with clean_exit('cell_verifier'):\n"
        "    sys.exit(main(Arguments('torch.nn:LSTMCell', 'lstm')))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background processes ignore Ctrl-C, and their children would do so too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "imported\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():
        time.sleep(0.01)
    (child,) = {int(pid) for pid in children.read_text().split()[-1:]}
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "cell_verifier: interrupted\n")
    assert not alive(child)


# The other errors are tested in this process, which is faster than a subprocess.

FAILING = {
    "syntax": ("def MyLSTM(:\n", "broken.py:1: SyntaxError"),
    "import": ("import torch\nimport no_such_module\n", "broken.py:2: ModuleNotFoundError"),
    "exit": ("import sys\nsys.exit(3)\n", "broken.py:2: SystemExit: 3"),
    "name": ("class Other:\n    pass\n", "has no 'MyLSTM': it defines Other"),
    "type": ("MyLSTM = 7\n", "is of type int: name a class or a function"),
    "construct": (
        "from torch import nn\nclass MyLSTM(nn.Module):\n    def __init__(self, i, h):\n"
        "        super().__init__()\n        self.w = nn.Linear(i, h, colour='red')\n",
        "broken.py:5: TypeError",
    ),
    "forward": (
        "from torch import nn\nclass MyLSTM(nn.LSTMCell):\n    def forward(self, x, state):\n"
        "        h, c = state\n        return h @ x, c\n",
        "broken.py:5: RuntimeError: ",
    ),
    "keyboard interrupt": (
        "from torch import nn\nclass MyLSTM(nn.LSTMCell):\n    def forward(self, x, state):\n"
        "        raise KeyboardInterrupt('mine')\n",
        "broken.py:4: KeyboardInterrupt: mine",
    ),
    "base exception": (
        "class Mine(BaseException):\n    pass\ndef MyLSTM(*sizes):\n    raise Mine('its reason')\n",
        "broken.py:4: Mine: its reason",
    ),
    "generator exit": ("raise GeneratorExit\n", "broken.py:1: GeneratorExit"),
    "message that raises": (
        "class Mine(Exception):\n    def __str__(self):\n        raise ValueError\n"
        "def MyLSTM(*sizes):\n    raise Mine\n",
        "broken.py:5: Mine: no message: its __str__ raises ValueError",
    ),
    "crash": (
        "import os\nfrom torch import nn\nclass MyLSTM(nn.LSTMCell):\n"
        "    def forward(self, x, state):\n        os._exit(7)\n",
        "exit status 7",
    ),
}


@pytest.mark.parametrize("failure", FAILING)
def test_the_reason_gives_the_users_error_and_line(failure: str, tmp_path: Path) -> None:
    text, message = FAILING[failure]
    path = tmp_path / "broken.py"
    path.write_text(text)
    if failure == "crash":
        report = judge(f"{path}:MyLSTM", "lstm", timeout=60)
    else:
        report = in_this_process(f"{path}:MyLSTM")
    assert report.verdict == "unchecked"
    assert report.exit_status == 2
    assert message in report.reason
    assert "\n" not in report.reason


def in_this_process(target: str):
    from cell_verifier.worker import judge_here

    return judge_here(target, "lstm")


# ------------------------------------------------------------------------------------ output


def test_a_terminal_shows_a_table_and_a_file_plain_text() -> None:
    report = verify(torch.nn.GRUCell, "gru")
    assert "┃" in as_text(report, width=120)
    assert "┃" not in plain_text(report)
    for check in report.checks:
        assert check.name in as_text(report, width=160)
        assert check.name in plain_text(report)


def test_square_brackets_are_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cell_verifier.cells.collection import Case, report_of

    show(report_of(Case("lstm_module_dict", "equal")), Console(width=200, force_terminal=True))
    assert "weight_ih[forget]" in capsys.readouterr().out
