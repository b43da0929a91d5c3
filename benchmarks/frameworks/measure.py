"""Check the results of every framework, then time the frameworks in turn."""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from benchmarks.frameworks.contenders import (
    FRAMEWORKS,
    SCRATCH,
    Results,
    difference,
    expected_results,
    make_layer,
)
from benchmarks.frameworks.job import Array, Job
from benchmarks.implementations import PHASES, TASKS, Task
from benchmarks.timing import ratio_of
from benchmarks.workers import KEEP_MEMORY, Worker, WorkerError

STREAMING = Task("streaming", batch=1, time=28, features=28, hidden_size=128, layers=2)
ONE_STEP = Task("one step", batch=1, time=1, features=28, hidden_size=128, layers=2)
ALL_TASKS = TASKS | {task.name: task for task in (STREAMING, ONE_STEP)}

SETTLE_SECONDS = 0.05
"""Time between two processes, in which the waiting threads of the first one stop their loops."""


@dataclass(frozen=True)
class Row:
    """One framework in one phase of a task.

    Attributes:
        median, low, high: this project's time divided by the framework's, within a round; None
            without this project's time.
        milliseconds: the framework's median time.
        difference: the largest difference from the float64 result, relative to the largest element.
        problem: why it was not timed, or "".
    """

    task: str
    kind: str
    phase: str
    framework: str
    median: float | None = None
    low: float | None = None
    high: float | None = None
    milliseconds: float | None = None
    difference: float | None = None
    problem: str = ""

    def __str__(self) -> str:
        start = f"{self.task:9} {self.kind:4} {self.phase:9} {self.framework:12}"
        if self.problem:
            return f"{start} {self.problem}"
        text = f"{start} {self.milliseconds:8.3f} ms, difference {self.difference:.0e}"
        if self.framework == SCRATCH or self.median is None:
            return text
        ratio = f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"
        return f"{text}   {SCRATCH} / {self.framework} {ratio}"


def environment(threads: int) -> dict[str, str | None]:
    """Environment variables of every process: threads, devices, and the allocator's setting."""
    return {
        **KEEP_MEMORY,
        "OMP_NUM_THREADS": str(threads),
        "NPROC": str(threads),  # XLA's threads
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


@dataclass(frozen=True)
class Problem:
    """A task for one kind of layer, with the weights that all frameworks have."""

    task: Task
    kind: str
    layer: torch.nn.RNNBase
    x: Array
    state: tuple[Array, ...]
    expected: dict[str, Results]

    @classmethod
    def draw(cls, task: Task, kind: str) -> "Problem":
        """Random weights, input and initial state, and the float64 results."""
        layer = make_layer(kind, task.features, task.hidden_size, task.layers)
        x = torch.randn(task.time, task.batch, task.features).numpy()
        sizes = task.layers, task.batch, task.hidden_size
        state = tuple(torch.randn(sizes).numpy() for _ in range(2 if kind == "LSTM" else 1))
        return cls(task, kind, layer, x, state, expected_results(layer, x, state))

    def phases(self, name: str) -> list[str]:
        """The phases in which a framework is timed. A single step is inference."""
        trains = FRAMEWORKS[name].trains and self.task.name != ONE_STEP.name
        return list(PHASES) if trains else ["inference"]

    def check(self, name: str, worker: Worker, threads: int) -> list[Row]:
        """Build a framework's layer and compare its results: a row for each phase."""
        framework = FRAMEWORKS[name]
        job = Job(self.kind, self.x, self.state, framework.weights(self.layer), threads)
        rows: list[Row] = []
        for phase in self.phases(name):
            row = Row(self.task.name, self.kind, phase, name)
            try:
                if not rows:
                    worker.call("load", framework.module, job)
                got = worker.call("results", phase)
                if phase == "train":
                    got = framework.gradients(got, self.kind)
                apart = difference(got, self.expected[phase], phase)
                rows.append(dataclasses.replace(row, difference=apart))
            except (WorkerError, AssertionError) as error:
                rows.append(dataclasses.replace(row, problem=str(error)))
        return rows


def check_all(problem: Problem, workers: dict[str, Worker], threads: int) -> list[Row]:
    """The rows of all frameworks, not yet timed, by phase.

    Frameworks compile in two processes at a time. This is not timed, and takes one core each.
    """
    with ThreadPoolExecutor(2) as pool:
        checked = pool.map(lambda each: problem.check(each[0], each[1], threads), workers.items())
        rows = [row for rows in checked for row in rows]
    return sorted(rows, key=lambda row: list(PHASES).index(row.phase))


def time_rows(
    rows: Sequence[Row], workers: dict[str, Worker], rounds: int, seconds: float
) -> list[Row]:
    """The rows of one phase with their times; those with a problem are not timed.

    Args:
        rows: a row for each framework.
        workers: the processes by framework.
        rounds: how many rounds.
        seconds: how long a process runs in a round; at least two calls are made.
    """
    timed = [row for row in rows if not row.problem]
    times: dict[str, list[float]] = {row.framework: [] for row in timed}
    names = list(times)
    if not names:
        return list(rows)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(workers[name].call("run_round", rows[0].phase, seconds))
            time.sleep(SETTLE_SECONDS)
    return [_with_ratio(row, times) for row in rows]


def _with_ratio(row: Row, times: dict[str, list[float]]) -> Row:
    if row.problem:
        return row
    own = times[row.framework]
    milliseconds = 1000 * statistics.median(own)
    if SCRATCH not in times:
        return dataclasses.replace(row, milliseconds=milliseconds)
    ratio = dataclasses.asdict(ratio_of(times[SCRATCH], own))
    return dataclasses.replace(row, **ratio | {"milliseconds": milliseconds})
