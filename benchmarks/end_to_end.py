"""End-to-end benchmark: the total time of train.py compared with a typical tutorial program.

    python -m benchmarks.end_to_end --data-dir data

Each round runs the tutorial program (benchmarks.tutorial_baseline) and train.py one after the
other, each as a separate process, and measures the time from start to exit: imports, loading,
training and testing. The result is the ratio of the times within a round, because the speed of the
machine may change between rounds. The order of the programs alternates.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal

import torch
import torchvision

from command_line.errors import ConfigError
from command_line.program import clean_exit, parse_arguments
from sequenced_mnist import ImageSets, load_images

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = "tutorial"


@dataclass(frozen=True)
class Options:
    """Compare the total time of train.py on MNIST with that of a typical tutorial program."""

    cells: tuple[Literal["rnn", "gru", "lstm"], ...] = ("rnn", "gru", "lstm")
    """cell types to compare"""
    implementations: tuple[Literal["builtin", "scratch"], ...] = ("builtin", "scratch")
    """implementations to compare (train.py --implementation)"""
    compiled: bool = False
    """also run train.py --compile with each implementation, without torch's cache"""
    rounds: int = 3
    """number of times each program is run"""
    epochs: int = 2
    """number of passes over the training images"""
    train_images: int = 60_000
    """number of training images to use, from the start of the set"""
    data_dir: Path = Path("data")
    """data directory; the files are in its subdirectory MNIST/raw or are downloaded there"""

    def __post_init__(self) -> None:
        for name in ("rounds", "epochs", "train_images"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected at least 1")

    @property
    def programs(self) -> list[str]:
        """The runs of train.py: an implementation, and options."""
        compiled = [f"{name} --compile" for name in self.implementations if self.compiled]
        return [*self.implementations, *compiled]


def main(options: Options) -> None:
    """Run all rounds of each cell and print its times; then print the ratios."""
    images = load_images("mnist", options.data_dir)
    count = min(options.train_images, len(images.train_images))
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"{torch.get_num_threads()} threads; epochs {options.epochs}, training images {count}, "
        f"rounds {options.rounds}"
    )
    with TemporaryDirectory() as folder:
        write_mnist(Path(folder), images, count)
        for cell in options.cells:
            seconds = time_rounds(cell, options, Path(folder))
            for program in options.programs:
                print(summary(cell, program, seconds), flush=True)


def time_rounds(cell: str, options: Options, data_dir: Path) -> dict[str, list[float]]:
    """Measure the seconds of each program in each round."""
    programs = [TUTORIAL, *options.programs]
    seconds: dict[str, list[float]] = {program: [] for program in programs}
    for number in range(options.rounds):
        order = programs if number % 2 == 0 else programs[::-1]
        for program in order:
            elapsed, accuracy = run(program, cell, options.epochs, data_dir)
            seconds[program].append(elapsed)
            print(
                f"{cell} round {number + 1}: {program} {elapsed:.1f} s, test accuracy {accuracy} %",
                flush=True,
            )
    return seconds


def run(program: str, cell: str, epochs: int, data_dir: Path) -> tuple[float, str]:
    """Run one program; return its seconds from start to exit and the test accuracy it prints, in %.

    Raises:
        ConfigError: the program failed.
    """
    command = [sys.executable]
    if program == TUTORIAL:
        command += ["-m", "benchmarks.tutorial_baseline"]
    else:
        command += ["train.py", "--implementation", *program.split(), "--dataset", "mnist"]
        command += ["--recipe", "tutorial"]  # the same training as the tutorial program
    options = ["--cell", cell, "--epochs", str(epochs), "--data-dir", str(data_dir)]
    with TemporaryDirectory() as folder:
        if program != TUTORIAL:
            options += ["--run-dir", folder]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, *options],
            cwd=ROOT,
            env=os.environ | {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        raise ConfigError(f"{program} {cell} ended with exit status {done.returncode}")
    accuracy = re.findall(r"test accuracy (\S+) %", done.stdout)[-1]
    return seconds, accuracy


def summary(cell: str, program: str, seconds: dict[str, list[float]]) -> str:
    """Format the median times of one program and the tutorial's, and the ratio per round."""
    ours, theirs = seconds[program], seconds[TUTORIAL]
    ratios = [mine / tutorial for mine, tutorial in zip(ours, theirs, strict=True)]
    return (
        f"{cell:4} {program}: {median(ours):.1f} s, tutorial {median(theirs):.1f} s, "
        f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def write_mnist(folder: Path, images: ImageSets, count: int) -> None:
    """Write MNIST's files for both programs, with only the first ``count`` training images."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in {
        "train-images-idx3-ubyte": images.train_images[:count],
        "train-labels-idx1-ubyte": images.train_labels[:count],
        "t10k-images-idx3-ubyte": images.test_images,
        "t10k-labels-idx1-ubyte": images.test_labels,
    }.items():
        sizes = b"".join(size.to_bytes(4, "big") for size in content.shape)
        header = bytes([0, 0, 8, content.dim()]) + sizes
        (raw / name).write_bytes(header + content.to(torch.uint8).numpy().tobytes())


if __name__ == "__main__":
    program = "python -m benchmarks.end_to_end"
    with clean_exit(program):
        main(parse_arguments(Options, program))
