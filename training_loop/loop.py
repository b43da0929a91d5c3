"""One pass of training and one of testing."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.optim import Optimizer

from training_loop.config import ConfigError


@dataclass(frozen=True)
class TrainedEpoch:
    """What one pass of training came to.

    Attributes:
        step_losses: mean cross entropy of each step's batch, in nats.
        loss: mean over all images of the pass, each at the weights of its own step.
        images_per_second: through forward, backward and optimizer.
    """

    step_losses: list[float]
    loss: float
    images_per_second: float


@dataclass(frozen=True)
class Epoch:
    """One epoch of a run: its number, from 1, what training came to, and the test after it.

    ``test_accuracy`` is the share of test images named rightly, from 0 to 1.
    """

    number: int
    trained: TrainedEpoch
    test_accuracy: float

    def __str__(self) -> str:
        return (
            f"epoch {self.number}: training loss {self.trained.loss:.4f}, "
            f"test accuracy {100 * self.test_accuracy:.2f} %, "
            f"{self.trained.images_per_second:.0f} images/s"
        )


def train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
) -> TrainedEpoch:
    """Take one optimizer step for every batch.

    Args:
        accelerator: runs the backward pass.
        model: from (batch, time, features) to logits (batch, classes).
        optimizer: of the model's parameters.
        batches: one pass: (batch, time, features) float32 with labels (batch,) int64.

    Raises:
        ConfigError: the loss is no longer finite.
    """
    start = time.perf_counter()
    model.train()
    losses, sizes = [], []
    for sequences, labels in batches:
        step_loss = F.cross_entropy(model(sequences), labels)
        accelerator.backward(step_loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(step_loss.detach())  # left where it is: reading it would wait for the step
        sizes.append(len(labels))
    step_losses = torch.stack(losses).tolist()
    seconds = time.perf_counter() - start
    images = sum(sizes)
    loss = sum(loss * size for loss, size in zip(step_losses, sizes, strict=True)) / images
    if not math.isfinite(loss):
        raise ConfigError(f"training loss is {loss}: the run diverged; lower learning_rate")
    return TrainedEpoch(step_losses, loss, images_per_second=images / seconds)


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The share of images that the model names rightly, from 0 to 1.

    Args:
        model: from (batch, time, features) to logits (batch, classes).
        batches: (batch, time, features) float32 with labels (batch,) int64.
    """
    model.eval()
    with torch.no_grad():
        right = [model(sequences).argmax(dim=1) == labels for sequences, labels in batches]
    return torch.cat(right).float().mean().item()
