"""training_loop/runtime/startup.py: Ctrl-C during imports ends the process."""

import signal
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT
from training_loop.runtime.startup import exit_on_ctrl_c


def test_ctrl_c_during_imports_cannot_be_caught() -> None:
    program = (
        "import signal\n"
        "from training_loop.runtime.startup import exit_on_ctrl_c\n"
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
    program = "import sys, training_loop.runtime.startup; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n"
