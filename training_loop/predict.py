"""A pass of testing: what the model makes of every image."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn

from sequenced_mnist import Batch


@torch.no_grad()
def score(
    accelerator: Accelerator, model: nn.Module, batches: Iterable[Batch], num_images: int
) -> Tensor:
    """The model's scores for every image of a set, each image once, however many processes.

    Args:
        accelerator: knows the other processes.
        model: from (batch, time, features) to logits (batch, classes).
        batches: this process's share of one pass over the set.
        num_images: in the set.

    Returns:
        Logits (num_images, classes) float32 in the set's own order, the same in every process.
    """
    model.eval()
    parts = [(batch.indices, model(batch.sequences).float()) for batch in batches]
    images, logits = (torch.cat(each) for each in zip(*parts, strict=True))
    scores = logits.new_zeros(num_images, logits.size(1))
    scores[images] = logits
    # Where this process has zeros another has the scores.
    total: Tensor = accelerator.reduce(scores, reduction="sum")
    return total


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The share of images named rightly, from 0 to 1: (n, classes) logits, (n,) labels."""
    return int((scores.argmax(dim=1) == labels).sum()) / len(labels)
