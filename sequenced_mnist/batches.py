"""Batches of a labelled image set that is kept whole on the training device.

60,000 images of 28 x 28 bytes are one tensor of 47 MB. With the set on the model's device, a batch
is one indexing operation, without a Python loop over images and without a copy to the device.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sequenced_mnist.sequencing import sequence_shape, to_sequences


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Return a generator on the CPU, in a state that depends only on seed and epoch.

    What it draws is the same on every device, for every implementation and after a resume within
    an epoch, and torch's global generator is used only for weights and dropout.

    Args:
        seed: seed of the run, at least 0.
        epoch: index of the epoch, at least 0.
    """
    # SeedSequence mixes seed and epoch so that different pairs give independent states. With
    # seed + epoch, the second epoch of seed 0 would have the same order as the first of seed 1.
    mixed = np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]))


def epoch_order(num_images: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the images in one epoch, which depends only on seed and epoch.

    Args:
        num_images: number of images in the set.
        seed, epoch: as for ``epoch_generator``.

    Returns:
        (num_images,) int64 on the CPU, a permutation of the indices.
    """
    return torch.randperm(num_images, generator=epoch_generator(seed, epoch))


class Batch(NamedTuple):
    """The part of one batch that one process reads: ``share`` images.

    Attributes:
        sequences: (share, time, features) float32.
        labels: (share,) int64.
        indices: (share,) int64, the indices of the images in the set.
        size: number of images in the whole batch, over all processes.
    """

    sequences: Tensor
    labels: Tensor
    indices: Tensor
    size: int


class Batches:
    """Sequences and labels of one image set, in batches on one device.

    In data-parallel training every process has the whole set and reads its share of every batch:
    of two processes, the first reads images 0, 2, 4, ... of the batch. Together the processes read
    the same batches as a single process.

    Args:
        images: (n, height, width) uint8.
        labels: (n,) int64.
        sequence: order of the pixels: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        batch_size: number of images in a batch; the last batch of a pass may have fewer.
        device: device of the set and of the batches.
        process, num_processes: index of this process, from 0, and number of processes.

    Attributes:
        time, features: number of time steps of a sequence, and of features of a time step.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        sequence: str,
        batch_size: int,
        device: torch.device | str = "cpu",
        process: int = 0,
        num_processes: int = 1,
    ) -> None:
        self.images = images.to(device)
        self.labels = labels.to(device)
        self.sequence = sequence
        self.batch_size = batch_size
        self.process = process
        self.num_processes = num_processes
        height, width = images.shape[1:]
        self.time, self.features = sequence_shape(height, width, sequence)

    @property
    def num_sequences(self) -> int:
        """Number of sequences, one for each image, in one pass over all processes."""
        return len(self.labels)

    def __len__(self) -> int:
        """Number of batches in one pass."""
        return -(-self.num_sequences // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass in the order of the set."""
        return self._take(torch.arange(self.num_sequences))

    def shuffled(self, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one pass in ``epoch_order``, starting at batch ``start``."""
        return self._take(epoch_order(self.num_sequences, seed, epoch)[start * self.batch_size :])

    def first(self, count: int) -> Tensor:
        """The sequences of the first ``count`` images: (count, time, features)."""
        return to_sequences(self.images[:count], self.sequence)

    def _take(self, order: Tensor) -> Iterator[Batch]:
        order = order.to(self.images.device)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            share = batch[self.process :: self.num_processes]
            sequences = to_sequences(self.images[share], self.sequence)
            yield Batch(sequences, self.labels[share], share, len(batch))
