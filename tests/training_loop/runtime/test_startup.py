"""training_loop/runtime/startup.py: memory settings, and imports: fast and interruptible."""

import gc
import platform
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.paths import ROOT
from training_loop.runtime import startup
from training_loop.runtime.startup import GIB, MIB, exit_on_ctrl_c, gc_paused, tune_malloc

PROGRAM = """
import resource, sys
import torch
from training_loop.runtime.startup import tune_malloc

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "tuned":
    tune_malloc()
for _ in range(50):
    torch.ones(2**24)  # 64 MiB
before = faults()
for _ in range(10):
    torch.ones(2**24)
print((faults() - before) // 10)
"""


def page_faults(settings: str) -> int:
    """Page faults for each tensor of 64 MiB, of many that are allocated one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, settings],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_tuned_malloc_reuses_freed_memory() -> None:
    assert page_faults("default") > 10_000
    assert page_faults("tuned") < 10


@pytest.mark.parametrize(
    ("largest", "expected"), [(GIB, [(-3, GIB)]), (32 * MIB, [(-3, GIB), (-3, 32 * MIB)])]
)
def test_an_older_glibc_gets_its_largest_threshold(
    largest: int, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated from its manual: for a larger value it returns 0 and changes nothing."""
    calls = []

    def mallopt(parameter: int, value: int) -> int:
        calls.append((parameter, value))
        return int(parameter != startup.M_MMAP_THRESHOLD or value <= largest)

    monkeypatch.setattr(startup.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    tune_malloc()
    assert calls == [*expected, (-1, 2 * GIB - 1)]


def test_other_allocators_are_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup.ctypes, "CDLL", lambda name: SimpleNamespace())
    tune_malloc()


IMPORTS = """
import gc
from training_loop.runtime.startup import gc_paused

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
