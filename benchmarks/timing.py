"""Interleaved timing: each implementation runs once a round, so that noise affects all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Ratio:
    """The time of an implementation divided by that of the reference in the same round.

    Attributes:
        median: median of the ratios; below 1 is faster than the reference.
        low, high: lower and upper quartile of the ratios.
        milliseconds: median time of the implementation, which varies on a shared machine.
    """

    median: float
    low: float
    high: float
    milliseconds: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def interleave(
    calls: Mapping[str, Callable[[], object]], reference: str, rounds: int, device: torch.device
) -> dict[str, Ratio]:
    """Time every call once a round, after one round of warm-up.

    The order is rotated each round, so that no call always follows the same other call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            elapsed = _time(calls[name], device)
            if number:
                seconds[name].append(elapsed)
    return {name: ratio_of(times, seconds[reference]) for name, times in seconds.items()}


def rounds_within(
    seconds: float, at_least: int, calls: Mapping[str, Callable[[], object]], device: torch.device
) -> int:
    """The number of rounds that take this time, estimated from one round."""
    round_takes = sum(_time(call, device) for call in calls.values())
    return max(at_least, min(int(seconds / round_takes), MAX_ROUNDS))


MAX_ROUNDS = 5000
"""Enough for a steady median of calls that take microseconds."""


def _time(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def ratio_of(times: list[float], reference: list[float]) -> Ratio:
    """The ratio of two lists of seconds, round by round."""
    ratios = [mine / other for mine, other in zip(times, reference, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(statistics.median(ratios), low, high, 1000 * statistics.median(times))


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Bytes by which the call increases the peak of the memory in use; None if unavailable.

    On the CPU this is the resident memory of the process, as counted by Linux. Run it in a new
    process: memory that an earlier call has freed is still resident and would not be counted.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists() or not reset.exists():
        return None
    reset.write_text("5")  # resets the peak to the current value
    before = _peak_resident(status)
    call()
    return _peak_resident(status) - before


def _peak_resident(status: Path) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
