"""command_line/imports.py: imports of torch are late, fast and interruptible."""

import gc
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command_line.imports import clean_imports, exit_on_ctrl_c, gc_paused
from tests.helpers.paths import ROOT

IMPORTS = """
import gc
from command_line.imports import gc_paused

def collections():
    return sum(generation["collections"] for generation in gc.get_stats())

before = collections()
try:
    with gc_paused():
        import torch
        print(collections() - before)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
print(gc.get_freeze_count(), gc.isenabled())
"""


def test_the_collector_does_not_run_during_the_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    collections, frozen, enabled = done.stdout.split()
    assert int(collections) == 0
    assert int(frozen) > 50_000
    assert enabled == "True"


def test_nothing_is_frozen_if_torch_is_already_imported() -> None:
    frozen = gc.get_freeze_count()
    with gc_paused():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_ctrl_c_during_imports_cannot_be_caught() -> None:
    program = (
        "import signal\n"
        "from command_line.imports import exit_on_ctrl_c\n"
        "with exit_on_ctrl_c('program'):\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except BaseException:\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "program: interrupted\n")


def test_ctrl_c_after_imports_raises_keyboard_interrupt_again() -> None:
    # A test run in the background of a shell starts with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with exit_on_ctrl_c("program"):
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_guard_is_in_place_before_torch_is_imported() -> None:
    program = "import sys, command_line.imports; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n"


COMMANDS = {
    "train.py": [str(ROOT / "train.py"), "--dataset", "digits"],
    "gate_explorer": ["-m", "gate_explorer", "run"],
    "cell_verifier": ["-m", "cell_verifier", "cell.py:Cell", "--against", "lstm"],
}


def start_with(tyro: str, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with another module in the place of tyro, which each command imports first."""
    (folder / "tyro.py").write_text(tyro)
    return subprocess.run(
        [sys.executable, *COMMANDS[command]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_during_the_first_import_is_one_line(command: str, tmp_path: Path) -> None:
    interrupt = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n"
    done = start_with(interrupt, command, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{command}: interrupted\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_package_that_is_missing_at_first_is_one_line(command: str, tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError(\"No module named 'tyro'\", name='tyro')\n"
    done = start_with(missing, command, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{command}: error: the package tyro is missing: install it with {sys.executable} "
        "-m pip install tyro, or everything with make\n"
    )


def test_a_missing_module_of_the_project_keeps_its_traceback() -> None:
    with pytest.raises(ModuleNotFoundError), clean_imports("a command"):
        importlib.import_module("command_line.missing")


def test_clean_imports_changes_nothing_in_a_program_that_imports_a_command() -> None:
    before = signal.getsignal(signal.SIGINT)
    with clean_imports("train.py", "train"):
        assert signal.getsignal(signal.SIGINT) is before
