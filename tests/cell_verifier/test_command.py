"""python -m cell_verifier as a user runs it: a process of its own, its exit status, its files."""

import json
import os
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
from cell_verifier.worker import judge
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


def test_a_cell_that_never_returns_is_stopped_with_all_it_started(tmp_path: Path) -> None:
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
    """Whether a process runs; one that has ended and is not yet collected does not."""
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
    ("arguments", "words"),
    [
        (["nowhere.py:MyLSTM", "--against", "lstm"], "is no file"),
        (["my.py:MyLSTM", "--against", "lstm", "--json", "no/such/folder.json"], "does not exist"),
        (["my.py:MyLSTM", "--against", "lstm", "--timeout", "-1"], "more than zero"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_status_2(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert words in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


# The rest of the ways to fail go through the child in this process, which is quicker.

FAILING = {
    "syntax": ("def MyLSTM(:\n", "broken.py:1: SyntaxError"),
    "import": ("import torch\nimport no_such_module\n", "broken.py:2: ModuleNotFoundError"),
    "exit": ("import sys\nsys.exit(3)\n", "broken.py:2: SystemExit: 3"),
    "name": ("class Other:\n    pass\n", "has no 'MyLSTM': it defines Other"),
    "no class": ("MyLSTM = 7\n", "is a int"),
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
    "crash": (
        "import os\nfrom torch import nn\nclass MyLSTM(nn.LSTMCell):\n"
        "    def forward(self, x, state):\n        os._exit(7)\n",
        "exit status 7",
    ),
}


@pytest.mark.parametrize("failure", FAILING)
def test_the_users_own_error_and_line_are_given(failure: str, tmp_path: Path) -> None:
    text, words = FAILING[failure]
    path = tmp_path / "broken.py"
    path.write_text(text)
    if failure == "crash":
        report = judge(f"{path}:MyLSTM", "lstm", timeout=60)
    else:
        report = in_this_process(f"{path}:MyLSTM")
    assert report.verdict == "unchecked"
    assert report.exit_status == 2
    assert words in report.reason
    assert "\n" not in report.reason


def in_this_process(target: str):  # type: ignore[no-untyped-def]
    from cell_verifier.worker import judge_here

    return judge_here(target, "lstm")


# ------------------------------------------------------------------------------ what is shown


def test_a_terminal_gets_a_table_and_a_file_plain_text() -> None:
    report = verify(torch.nn.GRUCell, "gru")
    assert "┃" in as_text(report, width=120)
    assert "┃" not in plain_text(report)
    for check in report.checks:
        assert check.name in as_text(report, width=160)
        assert check.name in plain_text(report)


def test_square_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cell_verifier.cells.collection import Case, report_of

    show(report_of(Case("lstm_module_dict", "equal")), Console(width=200, force_terminal=True))
    assert "weight_ih[forget]" in capsys.readouterr().out


def test_json_holds_no_number_that_is_not_one() -> None:
    from tests.cell_verifier.cells.collection import OUTSIDE, report_of

    for case in OUTSIDE:
        json.loads(report_of(case).as_json(), parse_constant=pytest.fail)
