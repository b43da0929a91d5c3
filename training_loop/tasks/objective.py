"""What a model should answer: the loss that training lowers, and which answers are right."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Result(NamedTuple):
    """Measured on the test or validation sequences: mean loss, and share of right answers."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Objective:
    """Loss and measure of the outputs of a model, (batch, ...), for their targets.

    Attributes:
        loss_sum: maps outputs and targets to the loss, summed over the sequences: a scalar.
        correct: maps outputs and targets to a bool for each answer.
        guessing: the loss of the best answer that does not depend on the input.
        untrained: the loss of outputs that are all 0, from which a loss far above is a divergence.
    """

    loss_sum: Callable[[Tensor, Tensor], Tensor]
    correct: Callable[[Tensor, Tensor], Tensor]
    guessing: float
    untrained: float

    def measure(self, outputs: Tensor, targets: Tensor) -> Result:
        """Mean loss and accuracy of a whole set: outputs and targets (n, ...)."""
        correct = self.correct(outputs, targets)
        return Result(
            loss=self.loss_sum(outputs, targets).item() / len(targets),
            accuracy=int(correct.sum()) / correct.numel(),
        )


def classification(num_classes: int) -> Objective:
    """One class for each sequence: logits (batch, classes), labels (batch,)."""
    return Objective(
        loss_sum=lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum"),
        correct=lambda logits, labels: logits.argmax(dim=1) == labels,
        guessing=math.log(num_classes),
        untrained=math.log(num_classes),
    )
