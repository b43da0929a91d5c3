"""What training changes, and how: one step, and a look at what the steps came to."""

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from command_line.errors import ConfigError
from sequenced_mnist import Batch
from training_loop.config import SettledConfig

LOOK_EVERY = 10
"""Steps between two looks at the losses; each look waits for the device."""


class DivergedError(ConfigError):
    """A loss or a gradient is no longer finite."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: from 1.
        training_loss: mean cross entropy over all images of the pass, in nats, each at the weights
            of its own step.
        accuracy: share of the tested images named rightly after it, from 0 to 1.
        images_per_second: through forward, backward and optimizer.
    """

    number: int
    training_loss: float
    accuracy: float
    images_per_second: float


class Look(NamedTuple):
    """What training has come to lately.

    Attributes:
        step, step_in_epoch: steps taken so far, in the run and in its epoch.
        loss: mean cross entropy of the steps since the last look, in nats.
        learning_rate: of the step to come.
        gradient_norms: of the last step, before clipping, by weight.
        images_per_second: of this pass so far.
    """

    step: int
    step_in_epoch: int
    loss: float
    learning_rate: float
    gradient_norms: dict[str, float]
    images_per_second: float


class Training:
    """All that training changes, and so all that a checkpoint has to hold.

    Args:
        config: how to train.
        accelerator: where.
        model: from (batch, time, features) to logits (batch, classes), its weights drawn.
        num_images: how many images an epoch visits.

    Attributes:
        model, optimizer, schedule: as accelerate prepared them.
        weights: every weight of the model under its ``state_dict`` name, so torch.nn's.
        step: optimizer steps taken since the beginning.
        step_losses: mean cross entropy of each step's batch, in nats, up to the last look.
        epochs: those that are over.
        seconds_before, pass_seconds_before: what the run, and the pass under way, had taken when
            the run was taken up again.
    """

    def __init__(
        self, config: SettledConfig, accelerator: Accelerator, model: nn.Module, num_images: int
    ) -> None:
        self.config = config
        self.accelerator = accelerator
        self.num_images = num_images
        self.steps_per_epoch = -(-num_images // config.batch_size)
        if config.compile:
            model.compile()
        betas = (0.9, config.beta2)
        optimizer = Adam(model.parameters(), lr=config.learning_rate, betas=betas, fused=True)
        self.schedule = make_schedule(config, optimizer, config.epochs * self.steps_per_epoch)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.weights = named_weights(self.plain_model)
        self.step = 0
        self.step_losses: list[float] = []
        self.epochs: list[Epoch] = []
        self.seconds_before = self.pass_seconds_before = 0.0
        self._began = self._pass_began = time.perf_counter()
        self._unseen: list[tuple[Tensor, Tensor]] = []  # loss and gradient norms, on the device
        self._gradient_norms: dict[str, float] = {}

    @property
    def plain_model(self) -> nn.Module:
        """The model without what accelerate put around it."""
        plain: nn.Module = self.accelerator.unwrap_model(self.model)
        return plain

    @property
    def epoch(self) -> int:
        """The number of the epoch under way, from 1."""
        return len(self.epochs) + 1

    @property
    def step_in_epoch(self) -> int:
        """Steps of the epoch under way that have been taken."""
        return self.step - len(self.epochs) * self.steps_per_epoch

    @property
    def seconds(self) -> float:
        """What the run has taken so far: training, tests and all between."""
        return self.seconds_before + time.perf_counter() - self._began

    @property
    def pass_seconds(self) -> float:
        """What the pass under way has taken so far."""
        return self.pass_seconds_before + time.perf_counter() - self._pass_began

    def start_pass(self) -> None:
        """Start the clock of a pass, or of what is left of it."""
        self._pass_began = time.perf_counter()

    def take_step(self, batch: Batch) -> None:
        """Forward, loss, backward, clip, optimizer: one step on one batch."""
        self.model.train()
        logits = self.model(batch.sequences)
        # The mean over the whole batch. A process has its share of it, and what accelerate averages
        # over the processes is their gradients: hence the factor.
        loss = F.cross_entropy(logits, batch.labels, reduction="sum") / batch.size
        self.accelerator.backward(loss * self.accelerator.num_processes)
        norms = self._clip()
        self.optimizer.step()
        if not self.optimizer.step_was_skipped:  # by fp16's loss scaling, on an overflow
            self.schedule.step()
        self.optimizer.zero_grad()
        self.step += 1
        self._unseen.append((loss.detach(), norms))

    def _clip(self) -> Tensor:
        """Bound the norm of the whole gradient; return each weight's, as it was before."""
        self.accelerator.unscale_gradients()
        gradients = [
            torch.zeros_like(w) if w.grad is None else w.grad for w in self.weights.values()
        ]
        norms = torch.stack([gradient.norm() for gradient in gradients])
        if self.config.clip_norm:
            clip_grads_with_norm_(self.weights.values(), self.config.clip_norm, norms.norm())
        return norms

    def look(self) -> Look:
        """Read what the steps since the last look came to, in all processes together.

        Raises:
            DivergedError: a loss or a gradient is not finite; names the step, and the largest
                gradient of the step before.
        """
        losses = []
        if self._unseen:
            on_device, norms = map(torch.stack, zip(*self._unseen, strict=True))
            losses = self.accelerator.reduce(on_device, reduction="sum").tolist()
            self._unseen = []
            for loss, of_step in zip(losses, norms.tolist(), strict=True):
                self._note(loss, dict(zip(self.weights, of_step, strict=True)))
        images = min(self.step_in_epoch * self.config.batch_size, self.num_images)
        return Look(
            step=self.step,
            step_in_epoch=self.step_in_epoch,
            loss=sum(losses) / len(losses) if losses else math.nan,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            gradient_norms=self._gradient_norms,
            images_per_second=images / self.pass_seconds,
        )

    def _note(self, loss: float, gradient_norms: dict[str, float]) -> None:
        """Keep one step's figures, if they are finite."""
        # In fp16 a gradient that overflows is no event: the step is skipped, the scale lowered.
        finite = self.config.precision == "fp16" or all(map(math.isfinite, gradient_norms.values()))
        if not (math.isfinite(loss) and finite):
            raise DivergedError(self._diverged(loss))
        self.step_losses.append(loss)
        self._gradient_norms = gradient_norms

    def _diverged(self, loss: float) -> str:
        finite_loss = math.isfinite(loss)
        what = "a gradient is not finite" if finite_loss else f"training loss is {loss}"
        remedy = f"lower learning_rate, which is {self.config.learning_rate}"
        if not (before := self._gradient_norms):
            return f"{what} at step {len(self.step_losses) + 1}: {remedy}"
        name = max(before, key=lambda name: before[name])
        return (
            f"{what} at step {len(self.step_losses) + 1}, after a step whose largest gradient was "
            f"{name}'s, of norm {before[name]:.3g}: {remedy}"
        )

    def check_weights(self) -> None:
        """Look at the weights themselves, which a last step may have spoilt.

        Raises:
            DivergedError: one is not finite; names it and the step.
        """
        for name, weight in self.weights.items():
            if not torch.isfinite(weight).all():
                raise DivergedError(
                    f"{name} is not finite after step {self.step}: "
                    f"lower learning_rate, which is {self.config.learning_rate}"
                )

    def end_epoch(self, accuracy: float, look: Look) -> Epoch:
        """Note down the epoch under way: all steps taken, looked at last by ``look``, tested."""
        losses = self.step_losses[-self.steps_per_epoch :]
        sizes = [self.config.batch_size] * (len(losses) - 1)
        sizes.append(self.num_images - sum(sizes))  # the last batch holds what is left
        total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        epoch = Epoch(self.epoch, total / self.num_images, accuracy, look.images_per_second)
        self.epochs.append(epoch)
        self.pass_seconds_before = 0.0
        return epoch


def named_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Each weight once, under the first of its ``state_dict`` names."""
    named: dict[int, tuple[str, nn.Parameter]] = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        if isinstance(weight, nn.Parameter):
            named.setdefault(id(weight), (name, weight))
    return dict(named.values())


def make_schedule(config: SettledConfig, optimizer: Optimizer, steps: int) -> LRScheduler:
    """What the learning rate does over all the steps of a run."""
    if config.schedule == "constant":
        return ConstantLR(optimizer, factor=1.0)
    peak, rising = config.learning_rate, config.warm_up
    return OneCycleLR(optimizer, max_lr=peak, total_steps=steps, pct_start=rising)
