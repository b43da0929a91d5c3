"""The base class of tasks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import torch
from accelerate import Accelerator
from rich.table import Table
from torch import Tensor

from sequenced_mnist import Batch
from training_loop.config import ResolvedConfig
from training_loop.tasks.objective import Objective, Result

Draw = Callable[[Path | IO[bytes]], None]
"""Writes a plot as a PNG."""


class Sequences(Protocol):
    """A set of sequences with their targets, in batches on one device.

    Attributes:
        time, features: number of time steps of a sequence, and of features of a time step.
        labels: (n, ...), the targets, in the order in which the set is iterated over.
    """

    time: int
    features: int
    labels: Tensor

    @property
    def num_sequences(self) -> int:
        """Number of sequences in one pass, over all processes."""

    def __len__(self) -> int:
        """Number of batches in one pass."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches of one pass in the order of the set."""

    def shuffled(self, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of a training epoch, starting at batch ``start``."""

    def first(self, count: int) -> Tensor:
        """The first ``count`` sequences of the set: (count, time, features)."""


class Placement(NamedTuple):
    """The device of a set of sequences, and this process among those that share its batches."""

    device: torch.device | str = "cpu"
    process: int = 0
    num_processes: int = 1

    @classmethod
    def of(cls, accelerator: Accelerator) -> "Placement":
        """Device and index of this process of a run."""
        return cls(accelerator.device, accelerator.process_index, accelerator.num_processes)


class Task(ABC):
    """What a run learns.

    Attributes:
        config: the configuration of the run, with every default filled in.
        train_set, test_set: the sequences; the test set holds validation sequences if
            ``config.validation``.
        objective: loss and measure.
        outputs: number of outputs of the readout.
        answers: None if the readout reads the final hidden state; else it reads the output at this
            number of steps at the end of the sequence.
        note: one line for the user, or empty.
    """

    config: ResolvedConfig
    train_set: Sequences
    test_set: Sequences
    objective: Objective
    outputs: int
    answers: int | None = None
    note: str = ""

    def measure(self, outputs: Tensor) -> Result:
        """Loss and accuracy of the outputs (n, ...) for the whole test set."""
        return self.objective.measure(outputs, self.test_set.labels)

    @property
    @abstractmethod
    def description(self) -> str:
        """The sequences, in the first line that train.py prints."""

    def summary(self, result: Result) -> str:
        """A result in the lines that train.py prints."""
        return f"{self.config.split} accuracy {100 * result.accuracy:.2f} %"

    def plots(self, outputs: Tensor) -> dict[str, Draw]:
        """Plots of the outputs for the test set, on the CPU, by file name."""
        return {}

    def table(self, outputs: Tensor) -> Table | None:
        """The outputs for the test set, on the CPU, in detail; printed by ``--evaluate``."""
        return None
