"""training_loop/runtime/contention.py: a warning if the threads wait for a processor."""

import os
import time

import pytest
import torch

from training_loop.runtime.contention import ThreadMonitor, machine_is_busy


def monitor(monkeypatch: pytest.MonkeyPatch, threads: int, load: float, cpu: float) -> str:
    """The warning after one second in which the process has used ``cpu`` seconds."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(time, "perf_counter", iter([10.0, 11.0]).__next__)
    monkeypatch.setattr(time, "process_time", iter([5.0, 5.0 + cpu]).__next__)
    return ThreadMonitor().warning()


@pytest.mark.parametrize(
    ("threads", "load", "cpu", "warns"),
    [
        (2, 4.0, 1.0, True),  # the threads run half of the time, while other programs run
        (2, 4.0, 2.0, False),  # they have a processor each
        (2, 1.0, 1.0, False),  # one thread has nothing to do
        (1, 4.0, 0.5, False),  # a single thread waits for no other
    ],
)
def test_waiting_threads_give_a_warning(
    threads: int, load: float, cpu: float, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = monitor(monkeypatch, threads, load, cpu)
    assert bool(line) == warns
    if warns:
        assert "OMP_NUM_THREADS=1" in line


def test_a_busy_machine_has_more_work_than_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for load, busy in ((0.5, False), (2.0, False), (3.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert machine_is_busy() == busy
