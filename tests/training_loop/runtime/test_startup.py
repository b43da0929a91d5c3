"""What a training step frees stays with the process; what is imported is not searched."""

import gc
import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.runs import ROOT
from training_loop.runtime import startup as memory
from training_loop.runtime.startup import GIB, MIB, imports_uncollected, keep_freed_memory

PROGRAM = """
import resource, sys
import torch
from training_loop.runtime.startup import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(50):
    torch.ones(2**24)  # 64 MiB
before = faults()
for _ in range(10):
    torch.ones(2**24)
print((faults() - before) // 10)
"""


def pages_taken_anew(how: str) -> int:
    """For each of many tensors of 64 MiB, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is asked")
def test_freed_memory_is_kept() -> None:
    assert pages_taken_anew("by default") > 10_000
    assert pages_taken_anew("kept") < 10


@pytest.mark.parametrize(
    ("largest", "expected"), [(GIB, [(-3, GIB)]), (32 * MIB, [(-3, GIB), (-3, 32 * MIB)])]
)
def test_a_glibc_that_takes_less(
    largest: int, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another version than the one here, so by its manual: it answers 0 and changes nothing."""
    asked = []

    def mallopt(parameter: int, value: int) -> int:
        asked.append((parameter, value))
        return int(parameter != memory.M_MMAP_THRESHOLD or value <= largest)

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    assert asked == [*expected, (-1, 2 * GIB - 1)]


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: SimpleNamespace())
    keep_freed_memory()


IMPORTS = """
import gc
from training_loop.runtime.startup import imports_uncollected

def collections():
    return sum(generation["collections"] for generation in gc.get_stats())

before = collections()
try:
    with imports_uncollected():
        import torch
        print(collections() - before)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
print(gc.get_freeze_count(), gc.isenabled())
"""


def test_imports_are_not_searched_for_garbage() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    collections, frozen, enabled = done.stdout.split()
    assert int(collections) == 0
    assert int(frozen) > 50_000
    assert enabled == "True"


def test_where_torch_is_there_already_nothing_is_frozen() -> None:
    frozen = gc.get_freeze_count()
    with imports_uncollected():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
