"""Two tasks that need memory, with drawn sequences: the adding problem and the copying task.

``adding`` (S. Hochreiter & J. Schmidhuber, Long Short-Term Memory (1997), section 5.4, in the form
of Q. Le et al. (2015), arXiv:1504.00941): T steps of two features, a value from 0 to 1 and a
mark. Two steps are marked, one in each half of the sequence. The answer after the last step is the
sum of their values.

``copy`` (in the form of M. Arjovsky et al., Unitary Evolution Recurrent Neural Networks (2016),
arXiv:1511.06464): ten symbols out of eight, T - 1 blanks, a delimiter, and ten blanks, each as one
feature out of ten that is 1. At the last ten steps the answers are the ten symbols in their order.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sequenced_mnist import Batch
from sequenced_mnist.batches import epoch_generator
from training_loop.config import Config
from training_loop.tasks.objective import Objective, Result
from training_loop.tasks.task import Placement, Task

TRAINING, TEST = 5000, 2000
"""Number of sequences in a training epoch, and in the test or validation set."""
TEST_SEED, VALIDATION_SEED = 0, 1
"""These sets are epoch 0 of a seed; training begins with epoch 1."""
SYMBOLS, COPIED = 8, 10
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1
TOLERANCE = 0.04
"""Largest error of a sum that counts as right, as in Hochreiter & Schmidhuber (1997)."""

Drawn = tuple[Tensor, Tensor]
Draw = Callable[[int, Generator], Drawn]


def draw_adding(count: int, length: int, generator: Generator) -> Drawn:
    """Sequences (count, length, 2) of the adding problem, and their sums (count,)."""
    values = torch.rand(count, length, generator=generator)
    half = length // 2
    first = torch.randint(0, half, (count,), generator=generator)
    second = torch.randint(half, length, (count,), generator=generator)
    marked = torch.stack([first, second], dim=1)  # (count, 2)
    marks = torch.zeros(count, length).scatter_(1, marked, 1.0)
    return torch.stack([values, marks], dim=2), values.gather(1, marked).sum(dim=1)


def draw_copy(count: int, length: int, generator: Generator) -> Drawn:
    """Sequences (count, length + 20, 10) of the copying task, and their symbols (count, 10)."""
    symbols = torch.randint(SYMBOLS, (count, COPIED), generator=generator)
    steps = torch.full((count, length + 2 * COPIED), BLANK)
    steps[:, :COPIED] = symbols
    steps[:, length + COPIED - 1] = DELIMITER
    return F.one_hot(steps, SYMBOLS + 2).float(), symbols


class DrawnSequences:
    """A set of drawn sequences, in batches on one device. Each training epoch has its own.

    Args:
        draw: maps a number of sequences and a generator to sequences and targets.
        count: number of sequences in a pass.
        seed: of the set itself, which an iteration reads; not used by ``shuffled``.
        batch_size: number of sequences in a batch, over all processes.
        placement: device of the batches, and this process.
    """

    def __init__(
        self, draw: Draw, count: int, seed: int, batch_size: int, placement: Placement
    ) -> None:
        self.draw, self.num_sequences, self.batch_size = draw, count, batch_size
        self.placement = placement
        sequences, self.labels = self._drawn(seed, epoch=0)
        self.sequences = sequences
        self.time, self.features = sequences.shape[1:]

    def __len__(self) -> int:
        """Number of batches in one pass."""
        return -(-self.num_sequences // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of one pass in the order of the set."""
        return self._take(self.sequences, self.labels)

    def shuffled(self, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of a training epoch, drawn from seed and epoch, from batch ``start`` on."""
        return self._take(*self._drawn(seed, epoch), start)

    def first(self, count: int) -> Tensor:
        """The first ``count`` sequences of the set: (count, time, features)."""
        return self.sequences[:count]

    def _drawn(self, seed: int, epoch: int) -> Drawn:
        sequences, labels = self.draw(self.num_sequences, epoch_generator(seed, epoch))
        return sequences.to(self.placement.device), labels.to(self.placement.device)

    def _take(self, sequences: Tensor, labels: Tensor, start: int = 0) -> Iterator[Batch]:
        _, process, num_processes = self.placement
        for first in range(start * self.batch_size, self.num_sequences, self.batch_size):
            end = min(first + self.batch_size, self.num_sequences)
            share = torch.arange(first + process, end, num_processes, device=sequences.device)
            yield Batch(sequences[share], labels[share], share, end - first)


class MemoryTask(Task):
    """A task of drawn sequences.

    Args:
        config: options of the run.
        placement: device of the sequences, and this process.
        draw: the sequences of the configuration's length.
    """

    criterion: str
    """When a run is a success."""

    def __init__(self, config: Config, placement: Placement, draw: Callable[..., Drawn]) -> None:
        self.config = config.resolved("auto", str(placement.device).partition(":")[0])
        length, size = self.config.length, self.config.batch_size

        def of_length(count: int, generator: Generator) -> Drawn:
            return draw(count, length, generator)

        seed = VALIDATION_SEED if config.validation else TEST_SEED
        # The train set's own sequences are used for its shape only: training draws every epoch.
        self.train_set = DrawnSequences(of_length, TRAINING, seed, size, placement)
        self.test_set = DrawnSequences(of_length, TEST, seed, 4 * size, placement)

    @staticmethod
    @abstractmethod
    def succeeded(result: Result) -> bool:
        """True if the result meets the criterion."""

    @property
    def description(self) -> str:
        """Task, number of sequences, their shape, and when a run is a success."""
        time, features = self.test_set.time, self.test_set.features
        return (
            f"{self.config.subject}: {TRAINING} training sequences in each epoch and {TEST} "
            f"{self.config.split} sequences, {time} steps of {features}; guessing has loss "
            f"{self.objective.guessing:.4f}, success is {self.criterion}"
        )

    def summary(self, result: Result) -> str:
        """Loss, accuracy, and whether the run is a success."""
        verdict = "success" if self.succeeded(result) else "no success"
        loss = f"{self.config.split} loss {result.loss:.4f}"
        return f"{loss}, {super().summary(result)}, {verdict}"


class AddingTask(MemoryTask):
    """The adding problem."""

    outputs = 1
    criterion = "loss below 0.01"
    objective = Objective(
        loss_sum=lambda sums, targets: F.mse_loss(sums.squeeze(1), targets, reduction="sum"),
        correct=lambda sums, targets: (sums.squeeze(1) - targets).abs() < TOLERANCE,
        guessing=1 / 6,  # answering 1: the variance of the sum of two values from U(0, 1)
        untrained=7 / 6,  # answering 0: the mean of the squared sum
    )

    def __init__(self, config: Config, placement: Placement) -> None:
        super().__init__(config, placement, draw_adding)

    @staticmethod
    def succeeded(result: Result) -> bool:
        """A mean squared error below 0.01; always answering 1 has 0.167."""
        return result.loss < 0.01


class CopyTask(MemoryTask):
    """The copying task. Its loss is the mean over the ten recalled symbols."""

    outputs = SYMBOLS
    answers = COPIED
    criterion = "accuracy above 99 %"
    objective = Objective(
        loss_sum=lambda logits, symbols: (
            F.cross_entropy(logits.flatten(0, 1), symbols.flatten(), reduction="sum") / COPIED
        ),
        correct=lambda logits, symbols: logits.argmax(dim=2) == symbols,
        guessing=math.log(SYMBOLS),
        untrained=math.log(SYMBOLS),
    )

    def __init__(self, config: Config, placement: Placement) -> None:
        super().__init__(config, placement, draw_copy)

    @staticmethod
    def succeeded(result: Result) -> bool:
        """More than 99 % of the recalled symbols are right; guessing has 12.5 %."""
        return result.accuracy > 0.99
