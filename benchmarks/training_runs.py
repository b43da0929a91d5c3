"""Runs of train.py for the tables: each is made once, in a process of its own with one thread.

A finished run is read from its folder and an interrupted one is resumed, so a command that makes
runs can be interrupted and repeated.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.progress import track

from command_line.errors import ConfigError, Stopped, one_line
from training_loop.commands.compare import read_metrics
from training_loop.config import ResolvedConfig
from training_loop.runs import checkpoint
from training_loop.runs.folder import MODEL

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """One run: its folder, and its options of train.py without ``--``."""

    folder: Path
    options: dict[str, object]

    def command(self) -> list[str]:
        """The command that starts the run, or resumes it if it was interrupted."""
        program = [sys.executable, "train.py"]
        if checkpoint.exists(self.folder):
            own = str(self.options.get("implementation", ""))
            named = ["--implementation", own] if ":" in own else []
            return [*program, "--resume", str(self.folder), *named]
        given = self.options | {"run-dir": self.folder}
        flags = [f"--{name}" for name, value in given.items() if value is True]
        valued = {name: value for name, value in given.items() if not isinstance(value, bool)}
        words = [word for name, value in valued.items() for word in (f"--{name}", str(value))]
        return program + words + flags


@dataclass(frozen=True)
class Finished:
    """A finished run: its configuration and the content of its ``metrics.json``."""

    config: ResolvedConfig
    metrics: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Finished":
        """The run in ``folder``.

        Raises:
            ConfigError: it is not a finished run of train.py.
        """
        return cls(ResolvedConfig.load(folder), read_metrics(folder))

    @property
    def accuracy(self) -> float:
        """Test or validation accuracy after the last epoch, in percent."""
        return 100 * float(self.metrics[f"{self.config.split}_accuracy"])

    @property
    def accuracies(self) -> list[float]:
        """The same after each epoch."""
        name = f"{self.config.split}_accuracy"
        return [100 * float(epoch[name]) for epoch in self.metrics["epochs"]]


def is_finished(folder: Path) -> bool:
    """True if the run in ``folder`` has final weights, and nothing is left to resume."""
    return (folder / MODEL).is_file() and not checkpoint.exists(folder)


def make_runs(jobs: Sequence[Job], workers: int) -> None:
    """Make the runs that are not finished, ``workers`` at a time.

    The output of each run is in a file next to its folder, ``NAME.log``. After Ctrl-C or SIGTERM,
    each run in progress writes a checkpoint. A run that fails does not stop the others.

    Raises:
        ConfigError: some runs have failed; names the first.
        Stopped: SIGTERM.
    """
    missing = [job for job in jobs if not is_finished(job.folder)]
    runner = _Runner()
    with _sigterm_raises(), ThreadPoolExecutor(workers) as pool:
        try:
            done = pool.map(runner.run, missing)
            for _ in track(done, "training", total=len(missing), transient=True):
                pass
        except BaseException:
            runner.stop()
            raise
    if runner.failures:
        others = f" (and {len(runner.failures) - 1} more)" if len(runner.failures) > 1 else ""
        raise ConfigError(runner.failures[0] + others)


class _Runner:
    """Starts the processes, and ends them when it is stopped."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.failures: list[str] = []
        self.stopped = False

    def run(self, job: Job) -> None:
        if self.stopped:
            return
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        with job.folder.with_name(f"{job.folder.name}.log").open("a") as log:
            process = subprocess.Popen(
                job.command(),
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
                # Ctrl-C in a terminal is for this program alone, which then ends the process:
                # after a second signal, train.py would stop without a new checkpoint.
                start_new_session=True,
            )
        self.running.add(process)
        if self.stopped:  # between the check above and this line
            process.terminate()
        _, error = process.communicate()
        self.running.discard(process)
        # A run that has diverged is complete, and has an exit status as well.
        if process.returncode and not self.stopped and not is_finished(job.folder):
            self.failures.append(f"{job.folder} failed: {one_line(error)[-300:]}")

    def stop(self) -> None:
        self.stopped = True
        for process in list(self.running):
            process.terminate()


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Within the block, SIGTERM raises ``Stopped``; by default it would leave the runs running."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Stopped(number, "the runs are stopped; repeat the command to resume them")

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
