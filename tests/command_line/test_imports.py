"""command_line/imports.py: imports of torch are late, fast and interruptible."""

import gc
import signal
import subprocess
import sys

import pytest

from command_line.imports import exit_on_ctrl_c, gc_paused
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
