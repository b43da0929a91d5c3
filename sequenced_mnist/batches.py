"""A labelled image set, whole on the training device, handed out in batches by index.

A set of 60,000 images of 28 x 28 bytes is one tensor of 47 MB. Kept where the model is, a batch
is one indexing operation, with no Python for a single image and nothing copied to the device.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sequenced_mnist.sequencing import sequence_shape, to_sequences


def epoch_order(num_images: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits the images: a pure function of seed and epoch.

    It is drawn on the CPU by a generator of its own, so that every device, every implementation
    and a run that is taken up again in mid-epoch see the same order, and torch's global
    generator is left for weights and dropout.

    Args:
        num_images: how many images the set holds.
        seed: of the run, at least 0.
        epoch: at least 0.

    Returns:
        (num_images,) int64 on the CPU, every index once.
    """
    # Two numbers become one seed such that neighbouring seeds and epochs share nothing: with
    # seed + epoch, say, run 0's second epoch would be run 1's first.
    mixed = np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(mixed[0]))
    return torch.randperm(num_images, generator=generator)


class Batch(NamedTuple):
    """What one process reads of one batch.

    Attributes:
        sequences: (share, time, features) float32.
        labels: (share,) int64.
        images: (share,) int64: where in the set they stand.
        size: images in the whole batch, over all processes.
    """

    sequences: Tensor
    labels: Tensor
    images: Tensor
    size: int


class Batches:
    """Sequences and labels of one image set, in batches on one device.

    Several processes that train together each hold the whole set, and each takes its share of
    every batch: image 0, 2, 4, ... of the batch in the first of two. So all of them together see
    the batches that one process alone would see.

    Args:
        images: (n, height, width) uint8.
        labels: (n,) int64.
        sequence: how an image is read: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        batch_size: images in a batch; the last batch of a pass holds what is left.
        device: where the set is kept and the batches are made.
        process, num_processes: which of the processes that train together this one is, from 0.

    Attributes:
        time, features: steps of one sequence, and numbers in one step.
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
    def num_images(self) -> int:
        """How many images one pass visits, over all processes."""
        return len(self.labels)

    def __len__(self) -> int:
        """How many batches one pass takes."""
        return -(-self.num_images // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """One pass in the set's own order."""
        return self._take(torch.arange(self.num_images))

    def shuffled(self, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """One pass in :func:`epoch_order`, from batch ``start`` on."""
        return self._take(epoch_order(self.num_images, seed, epoch)[start * self.batch_size :])

    def _take(self, order: Tensor) -> Iterator[Batch]:
        order = order.to(self.images.device)
        for start in range(0, len(order), self.batch_size):
            whole = order[start : start + self.batch_size]
            mine = whole[self.process :: self.num_processes]
            sequences = to_sequences(self.images[mine], self.sequence)
            yield Batch(sequences, self.labels[mine], mine, len(whole))
