"""Detect that other programs use the CPU, which slows several threads down more than one."""

import os
import time

import torch

MIN_SHARE = 0.7
"""Share of the threads' time in which they run, below which they wait for a processor."""


class ThreadMonitor:
    """Measures whether this process's threads have a processor each.

    OpenMP's threads wait for each other in a busy loop at the end of every parallel loop. On an
    otherwise idle machine they therefore always run. If another program takes one processor, every
    parallel loop waits until that program is interrupted: two threads can be many times slower
    than one.
    """

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def warning(self) -> str:
        """One line for the user if the threads have waited for a processor, else empty."""
        threads = torch.get_num_threads()
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        if threads == 1 or not wall or cpu / wall / threads >= MIN_SHARE or not machine_is_busy():
            return ""
        return (
            f"warning other programs use the CPU, and {threads} threads wait for it: "
            "OMP_NUM_THREADS=1 before the command may be many times faster"
        )


def machine_is_busy() -> bool:
    """True if more threads are ready to run than there are processors."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1)
