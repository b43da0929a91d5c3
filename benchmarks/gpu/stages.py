"""The stages: each runs in a process of its own, so that one that fails does not end the others.

python -m benchmarks.gpu.stages --stage NAME --results FILE     run one stage in this process
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from benchmarks.gpu.cases import cases
from benchmarks.gpu.machine import facts, rates
from benchmarks.gpu.measure import measure
from benchmarks.gpu.records import Write, writer
from benchmarks.training_runs import Finished, Job, make_runs
from command_line.errors import ROOT
from command_line.program import clean_exit, parse_arguments

Device = Literal["cuda", "cpu"]


@dataclass(frozen=True)
class Setup:
    """Run one stage in this process."""

    stage: str
    """Name of the stage."""
    results: Path
    """File that results are added to."""
    device: Device = "cuda"
    """Device that the layers run on."""
    small: bool = False
    """Use sizes for an attempt without a GPU."""
    data_dir: Path = Path("data")
    """Folder of the data sets."""


def machine(setup: Setup, write: Write) -> None:
    """Versions and rates of the machine."""
    device = torch.device(setup.device)
    write(facts=facts(device))
    write(rates=rates(device, setup.small))


def parity(setup: Setup, write: Write) -> None:
    """The tests that compare with cuDNN, with TF32 off."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "tests/test_gpu.py", f"--junitxml={report}"]
        # Other versions than those that the suite is run with may warn.
        command += ["-p", "no:cacheprovider", "--tb=short", "-W", "default"]
        if importlib.util.find_spec("xdist"):  # most of the time is compiling kernels
            command += ["-n", str(min(8, os.cpu_count() or 1))]
        subprocess.run(command, cwd=ROOT, check=False)
        write(**outcomes(report))


def outcomes(report: Path) -> dict[str, object]:
    """The number of tests with each outcome, and the failures, from pytest's report."""
    tests = list(ElementTree.parse(report).iter("testcase"))
    failures = {
        test.get("name", ""): (problem.get("message") or "").partition("\n")[0]
        for test in tests
        for problem in [*test.iter("failure"), *test.iter("error")]
    }
    skipped = sum(test.find("skipped") is not None for test in tests)
    passed = len(tests) - skipped - len(failures)
    return {"passed": passed, "skipped": skipped, "failed": len(failures), "failures": failures}


def timings(setup: Setup, write: Write) -> None:
    """The cases of a stage of ``benchmarks.gpu.cases``."""
    for case in cases(setup.stage, setup.small):
        print(setup.stage, case.task, case.kind, case.precision, flush=True)
        try:
            for record in measure(case, torch.device(setup.device)):
                write(**record)
        except Exception as error:  # the other cases are measured
            about = {"task": case.task.name, "cell": case.kind, "precision": case.precision}
            write(**about, contender="all", problem=f"{type(error).__name__}: {error}"[:300])
            if isinstance(error, torch.AcceleratorError):
                raise  # nothing runs in this process after an error of the GPU's own
        if setup.device == "cuda":
            torch.cuda.empty_cache()


def training(setup: Setup, write: Write) -> None:
    """RNN, GRU and LSTM, scratch and builtin, and scratch with the Triton kernels, all at once."""
    options: dict[str, object] = {"device": setup.device, "data-dir": setup.data_dir}
    options |= {"dataset": "digits", "epochs": 1} if setup.small else {"dataset": "mnist"}
    variants: dict[str, dict[str, object]] = {
        "scratch": {"implementation": "scratch"},
        "builtin": {"implementation": "builtin"},
        "scratch triton": {"implementation": "scratch", "backend": "triton"},
    }
    with TemporaryDirectory() as folder:
        jobs = {
            (cell, name): Job(
                Path(folder, f"{cell}-{name.replace(' ', '-')}"), options | variant | {"cell": cell}
            )
            for name, variant in variants.items()
            for cell in ("rnn", "gru", "lstm")
        }
        if setup.small:  # the interpreter takes minutes for a run
            jobs = {key: job for key, job in jobs.items() if "triton" not in key[1]}
        try:
            make_runs(list(jobs.values()), workers=len(jobs))
        finally:
            for (cell, name), job in jobs.items():
                if (job.folder / "metrics.json").is_file():
                    finished = Finished.read(job.folder)
                    write(cell=cell, variant=name, accuracies=finished.accuracies)
                log = job.folder.with_name(f"{job.folder.name}.log")
                if log.is_file():
                    print(f"--- {cell} {name}", log.read_text(), sep="\n", flush=True)


def kernels(setup: Setup, write: Write) -> None:
    """Registers, stack and shared memory of every kernel, compiled by this machine's Triton."""
    command = [sys.executable, "-m", "benchmarks.kernel_resources", "--json"]
    for options in (
        ["--cells", "rnn", "--hidden-sizes", "16"] if setup.small else ["--hidden-sizes", "128"],
        *([] if setup.small else [["--hidden-sizes", "256"]]),
    ):
        done = subprocess.run(
            [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
        for each in json.loads(done.stdout):
            write(**each)


@dataclass(frozen=True)
class Stage:
    """A stage, and the time in seconds after which it is ended."""

    run: Callable[[Setup, Write], None]
    limit: float


STAGES = {
    "machine": Stage(machine, 45),
    "parity": Stage(parity, 200),
    "published": Stage(timings, 90),
    "speed": Stage(timings, 150),
    "training": Stage(training, 150),
    "variants": Stage(timings, 120),
    "sizes": Stage(timings, 120),
    "graphs": Stage(timings, 90),
    "kernels": Stage(kernels, 90),
    "compiled": Stage(timings, 180),
}
"""In the order of importance."""


def main(setup: Setup) -> None:
    """Run one stage, and record how it ended."""
    write = writer(setup.results, setup.stage)
    start = time.monotonic()
    STAGES[setup.stage].run(setup, write)
    write(end="finished", seconds=time.monotonic() - start)


if __name__ == "__main__":
    program = "python -m benchmarks.gpu.stages"
    with clean_exit(program):
        main(parse_arguments(Setup, program))
