"""Training state, one optimizer step, and metrics."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from command_line.errors import ConfigError
from sequenced_mnist import Batch
from training_loop.config import ResolvedConfig
from training_loop.optimizer import EagerAdam
from training_loop.tasks.objective import Objective, Result

LOG_EVERY = 10
"""Logging interval in steps. Reading the metrics waits for the device, so not at every step."""


class DivergedError(ConfigError):
    """A loss, a gradient or a weight is not finite."""


@dataclass(frozen=True)
class Epoch:
    """Results of one epoch.

    Attributes:
        number: from 1.
        training_loss: averaged over the training sequences, each computed with the weights of its
            own step; for images, the cross entropy in nats.
        test_loss: the same loss of the test or validation sequences, after the epoch.
        accuracy: share of the answers for these sequences that are right, from 0 to 1.
        sequences_per_second: speed of training (forward, backward and optimizer), without the test.
    """

    number: int
    training_loss: float
    test_loss: float
    accuracy: float
    sequences_per_second: float


class StepMetrics(NamedTuple):
    """Metrics after a step.

    Attributes:
        step, step_in_epoch: steps taken, in the run and in the current epoch.
        loss: averaged over the last LOG_EVERY steps; NaN before the first.
        learning_rate: of the next step.
        gradient_norms: by name of the weight, in the last step, before clipping.
        sequences_per_second: training speed in the current epoch.
    """

    step: int
    step_in_epoch: int
    loss: float
    learning_rate: float
    gradient_norms: dict[str, float]
    sequences_per_second: float


class Trainer:
    """Everything that training changes, and that a checkpoint therefore contains.

    Args:
        config: hyperparameters.
        accelerator: device, precision and processes.
        model: maps (batch, time, features) to outputs (batch, ...); initialized.
        num_sequences: number of training sequences.
        objective: the loss of these outputs.

    Attributes:
        model, optimizer: as returned by accelerate.
        plain_model, plain_optimizer: the same without accelerate's wrappers.
        schedule: the learning-rate schedule.
        weights: the model's parameters, by their names in its ``state_dict``.
        step: optimizer steps taken in the run.
        step_losses: mean loss of each step's batch; see ``read_losses``.
        epochs: results of the finished epochs.
        previous_seconds, previous_pass_seconds: time spent before the run was resumed, in the run
            and in the training pass of the current epoch.
    """

    def __init__(
        self,
        config: ResolvedConfig,
        accelerator: Accelerator,
        model: nn.Module,
        num_sequences: int,
        objective: Objective,
    ) -> None:
        self.config = config
        self.accelerator = accelerator
        self.num_sequences = num_sequences
        self.objective = objective
        self.steps_per_epoch = math.ceil(num_sequences / config.batch_size)
        if config.compile:
            model.compile(dynamic=True)  # once for all sizes: the last batch of an epoch is smaller
        betas = (0.9, config.beta2)
        optimizer = EagerAdam(model.parameters(), lr=config.learning_rate, betas=betas, fused=True)
        self.schedule = make_schedule(config, optimizer, config.epochs * self.steps_per_epoch)
        self.plain_model, self.plain_optimizer = model, optimizer
        # Without device_placement, accelerate imports sharded tensors to decide it.
        self.model, self.optimizer = accelerator.prepare(
            model, optimizer, device_placement=[True, True]
        )
        self.weights = named_weights(self.plain_model)
        self.step = 0
        self.step_losses: list[float] = []
        self.epochs: list[Epoch] = []
        self.previous_seconds = self.previous_pass_seconds = 0.0
        self._start = time.perf_counter()
        self._pass_start: float | None = None  # None outside of a training pass
        # Of each step whose losses have not been read: loss and gradient norms, on the device.
        self._unread: list[tuple[Tensor, Tensor]] = []
        self._gradient_norms: dict[str, float] = {}

    @property
    def epoch(self) -> int:
        """Number of the current epoch, from 1."""
        return len(self.epochs) + 1

    @property
    def step_in_epoch(self) -> int:
        """Steps taken in the current epoch."""
        return self.step - len(self.epochs) * self.steps_per_epoch

    @property
    def seconds(self) -> float:
        """Duration of the run so far, including tests."""
        return self.previous_seconds + time.perf_counter() - self._start

    @property
    def pass_seconds(self) -> float:
        """Duration of the current epoch's training pass so far, without the test after it."""
        if self._pass_start is None:
            return self.previous_pass_seconds
        return self.previous_pass_seconds + time.perf_counter() - self._pass_start

    @contextmanager
    def timed_pass(self) -> Iterator[None]:
        """Count the time within the ``with`` block as training time of the current epoch."""
        self._pass_start = time.perf_counter()
        try:
            yield
        finally:
            self.previous_pass_seconds = self.pass_seconds
            self._pass_start = None

    def _speed(self, sequences: int) -> float:
        """Sequences per second in the training pass; NaN if its time was not measured."""
        return sequences / self.pass_seconds if self.pass_seconds else math.nan

    def take_step(self, batch: Batch) -> None:
        """One optimizer step on one batch: forward, loss, backward, clip, update."""
        self.model.train()
        outputs = self.model(batch.sequences)
        # The mean over the whole batch, of which each process has a part. accelerate averages the
        # gradients over the processes; the factor turns that average into the sum.
        loss = self.objective.loss_sum(outputs, batch.labels) / batch.size
        self.accelerator.backward(loss * self.accelerator.num_processes)
        norms = self._clip()
        if self.accelerator.scaler is None:
            # accelerate's wrapper would look for an optional package twice, in every step.
            self.plain_optimizer.step()
            self.schedule.step()
        else:
            self.optimizer.step()
            if not self.optimizer.step_was_skipped:  # fp16's loss scaling skips an overflow
                self.schedule.step()
        self.plain_optimizer.zero_grad()
        self.step += 1
        self._unread.append((loss.detach(), norms))

    def _clip(self) -> Tensor:
        """Clip the norm of the whole gradient; return each weight's norm before clipping."""
        self.accelerator.unscale_gradients()
        gradients = [
            torch.zeros_like(w) if w.grad is None else w.grad for w in self.weights.values()
        ]
        norms = torch.stack([gradient.norm() for gradient in gradients])
        if self.config.clip_norm:
            clip_grads_with_norm_(self.weights.values(), self.config.clip_norm, norms.norm())
        return norms

    def read_losses(self) -> None:
        """Copy the losses of the latest steps from the device to ``step_losses``.

        All processes take part.

        Raises:
            DivergedError: a loss or a gradient is not finite. The message names the step, and the
                largest gradient of the step before it.
        """
        if not self._unread:
            return
        losses, norms = map(torch.stack, zip(*self._unread, strict=True))
        self._unread = []
        all_losses = self.accelerator.reduce(losses, reduction="sum").tolist()
        for loss, step_norms in zip(all_losses, norms.tolist(), strict=True):
            self._record_step(loss, dict(zip(self.weights, step_norms, strict=True)))

    def _record_step(self, loss: float, gradient_norms: dict[str, float]) -> None:
        # In fp16 an overflowing gradient is expected: the step is skipped and the scale lowered.
        finite = self.config.precision == "fp16" or all(map(math.isfinite, gradient_norms.values()))
        if not (math.isfinite(loss) and finite):
            raise DivergedError(self._describe_divergence(loss))
        self.step_losses.append(loss)
        self._gradient_norms = gradient_norms

    @property
    def divergence(self) -> str:
        """A warning if the loss of the latest epoch is far above that of guessing, else empty."""
        objective = self.objective
        if not self.epochs or self.epochs[-1].training_loss < 2 * objective.untrained:
            return ""
        return (
            f"diverged: training loss {self.epochs[-1].training_loss:.4g}, while guessing has "
            f"{objective.guessing:.2f}; lower learning_rate, which is {self.config.learning_rate}"
        )

    def _describe_divergence(self, loss: float) -> str:
        what = "a gradient is not finite" if math.isfinite(loss) else f"training loss is {loss}"
        where = f"{what} at step {len(self.step_losses) + 1}"
        if not self.step_losses:
            return (
                f"{where}, before any weight has changed: {self.config.layer} is not finite for "
                "its initial weights; check its forward and backward pass"
            )
        if previous := self._gradient_norms:
            name = max(previous, key=lambda name: previous[name])
            where += f"; the largest gradient of the step before was {name}, norm "
            where += f"{previous[name]:.3g}"
        return f"{where}: lower learning_rate, which is {self.config.learning_rate}"

    def metrics(self) -> StepMetrics:
        """Metrics after the latest step. All processes take part.

        Raises:
            DivergedError: see ``read_losses``.
        """
        self.read_losses()
        recent = self.step_losses[-LOG_EVERY:]
        sequences = min(self.step_in_epoch * self.config.batch_size, self.num_sequences)
        return StepMetrics(
            step=self.step,
            step_in_epoch=self.step_in_epoch,
            loss=sum(recent) / len(recent) if recent else math.nan,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            gradient_norms=self._gradient_norms,
            sequences_per_second=self._speed(sequences),
        )

    def check_weights(self) -> None:
        """Check that every weight is finite.

        Raises:
            DivergedError: one is not. The message names it and the step.
        """
        for name, weight in self.weights.items():
            if not torch.isfinite(weight).all():
                raise DivergedError(
                    f"{name} is not finite after step {self.step}: "
                    f"lower learning_rate, which is {self.config.learning_rate}"
                )

    def end_epoch(self, result: Result) -> Epoch:
        """Record the current epoch, all of whose steps have been taken, and start the next.

        Args:
            result: measured after the epoch.

        Raises:
            DivergedError: see ``read_losses``.
        """
        self.read_losses()
        losses = self.step_losses[-self.steps_per_epoch :]
        sizes = [self.config.batch_size] * (len(losses) - 1)
        sizes.append(self.num_sequences - sum(sizes))  # the last batch may be smaller
        total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        epoch = Epoch(
            number=self.epoch,
            training_loss=total / self.num_sequences,
            test_loss=result.loss,
            accuracy=result.accuracy,
            sequences_per_second=self._speed(self.num_sequences),
        )
        self.epochs.append(epoch)
        self.previous_pass_seconds = 0.0
        return epoch


def named_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Each parameter once, under the first of its ``state_dict`` names."""
    named: dict[int, tuple[str, nn.Parameter]] = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        if isinstance(weight, nn.Parameter):
            named.setdefault(id(weight), (name, weight))
    return dict(named.values())


def make_schedule(config: ResolvedConfig, optimizer: Optimizer, steps: int) -> LRScheduler:
    """The learning-rate schedule of a run of ``steps`` optimizer steps."""
    if config.schedule == "constant":
        return ConstantLR(optimizer, factor=1.0)
    peak, warm_up = config.learning_rate, config.warm_up
    return OneCycleLR(optimizer, max_lr=peak, total_steps=steps, pct_start=warm_up)
