"""Logits and accuracy of a model on a whole set of images."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sequenced_mnist import Batch


@torch.no_grad()
def predict(
    accelerator: Accelerator, model: nn.Module, batches: Iterable[Batch], num_images: int
) -> Tensor:
    """The model's logits for every image of a set, computed by all processes together.

    Args:
        accelerator: the processes of the run.
        model: maps (batch, time, features) to logits (batch, classes).
        batches: this process's share of one pass over the set.
        num_images: number of images in the set.

    Returns:
        Logits (num_images, classes) float32 in the order of the set, the same in every process.
    """
    model.eval()
    parts = [(batch.indices, model(batch.sequences).float()) for batch in batches]
    images, own_logits = (torch.cat(each) for each in zip(*parts, strict=True))
    logits = own_logits.new_zeros(num_images, own_logits.size(1))
    logits[images] = own_logits
    # Each image has its logits in one process and zeros in the others.
    total: Tensor = accelerator.reduce(logits, reduction="sum")
    return total


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of images classified correctly, from 0 to 1: (n, classes) logits, (n,) labels."""
    return int((logits.argmax(dim=1) == labels).sum()) / len(labels)
