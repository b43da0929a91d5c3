"""Everything that needs a GPU, in stages.

    python -m benchmarks.gpu --output runs/gpu                                  all stages
    python -m benchmarks.gpu --output runs/gpu --stages parity published        some of them
    python -m benchmarks.gpu --output runs/try --device cpu --small             without a GPU

Each stage is a process of its own with a time limit, and none starts after the budget is spent.
The output folder gets results.jsonl, to which each result is added as soon as it is known,
results.md with the same as tables, and log.txt. ``python -m benchmarks.gpu.page`` writes the
results to docs/gpu.md.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu.page import tables
from benchmarks.gpu.records import read, writer
from benchmarks.gpu.stages import STAGES, Device
from command_line.errors import ROOT, ConfigError
from command_line.program import clean_exit, parse_arguments

MIN_SECONDS = 20
"""A stage that has less time is not started: importing torch takes some of it."""


@dataclass(frozen=True)
class Arguments:
    """Run what needs a GPU: tests, speed, training, and the resources of the kernels."""

    output: Path
    """Folder for the results; results.jsonl in it is added to."""
    stages: tuple[str, ...] = tuple(STAGES)
    """Stages to run, in this order."""
    budget: float = 570
    """Time in seconds after which all ends."""
    data_dir: Path = Path("data")
    """Folder of the data sets; MNIST is in MNIST/raw in it."""
    device: Device = "cuda"
    """Device that the layers run on; cpu is for an attempt, with the kernels interpreted."""
    small: bool = False
    """Use tiny sizes, for an attempt without a GPU."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.stages if name not in STAGES]:
            raise ConfigError(f"stages has {unknown[0]}: expected some of {', '.join(STAGES)}")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device is cuda: torch sees no CUDA device")


def main(arguments: Arguments) -> None:
    """Run the stages, and write the tables after each."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for name in arguments.stages:
        left = arguments.budget - (time.monotonic() - start)
        seconds = min(STAGES[name].limit, left)
        print(f"{name}: at most {seconds:.0f} s", flush=True)
        end = "not started" if seconds < MIN_SECONDS else run_stage(name, seconds, arguments)
        if end != "finished":
            writer(arguments.output / "results.jsonl", name)(end=end)
        print(f"{name}: {end}, {time.monotonic() - start:.0f} s since the start", flush=True)
        text = "\n\n".join(f"## {title}\n\n{table}" for title, table in all_tables(arguments))
        (arguments.output / "results.md").write_text(text + "\n")
    print(text)


def all_tables(arguments: Arguments) -> list[tuple[str, str]]:
    """The tables of the results so far, by their names."""
    return list(tables(read([arguments.output / "results.jsonl"])).items())


def run_stage(name: str, seconds: float, arguments: Arguments) -> str:
    """Run a stage as a process, and return how it ended."""
    command = [sys.executable, "-m", "benchmarks.gpu.stages", "--stage", name]
    command += ["--results", str((arguments.output / "results.jsonl").resolve())]
    command += ["--device", arguments.device, "--data-dir", str(arguments.data_dir.resolve())]
    command += ["--small"] * arguments.small
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    if arguments.device == "cpu":
        environment["TRITON_INTERPRET"] = "1"
    with (arguments.output / "log.txt").open("a") as log:
        print(f"=== {name}", file=log, flush=True)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a signal reaches its processes, too
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:.0f} s"
        finally:
            _end(process)
    return "finished" if status == 0 else f"failed with exit status {status}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    program = "python -m benchmarks.gpu"
    with clean_exit(program):
        main(parse_arguments(Arguments, program))
