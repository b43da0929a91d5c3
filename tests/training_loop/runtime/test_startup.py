"""training_loop/runtime/startup.py: memory settings."""

import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.paths import ROOT
from training_loop.runtime import startup
from training_loop.runtime.startup import GIB, MIB, tune_malloc

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
