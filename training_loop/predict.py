"""Outputs of a model for a whole set of sequences, and the accuracy of a classifier."""

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sequenced_mnist import Batch


@torch.no_grad()
def predict(
    accelerator: Accelerator, model: nn.Module, batches: Iterable[Batch], num_sequences: int
) -> Tensor:
    """The model's outputs for every sequence of a set, computed by all processes together.

    Args:
        accelerator: the processes of the run.
        model: maps (batch, time, features) to outputs (batch, ...), for a classifier its logits.
        batches: this process's share of one pass over the set.
        num_sequences: number of sequences in the set.

    Returns:
        Outputs (num_sequences, ...) float32 in the order of the set, the same in every process.
    """
    model.eval()
    parts = [(batch.indices, model(batch.sequences).float()) for batch in batches]
    indices, own_outputs = (torch.cat(each) for each in zip(*parts, strict=True))
    outputs = own_outputs.new_zeros(num_sequences, *own_outputs.shape[1:])
    outputs[indices] = own_outputs
    # Each sequence has its outputs in one process and zeros in the others.
    total: Tensor = accelerator.reduce(outputs, reduction="sum")
    return total


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of images classified correctly, from 0 to 1: (n, classes) logits, (n,) labels."""
    return int((logits.argmax(dim=1) == labels).sum()) / len(labels)
