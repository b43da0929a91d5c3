"""training_loop/trainer.py and predict.py, compared with the same arithmetic in plain torch."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sequenced_mnist import Batches
from training_loop import trainer as trainer_module
from training_loop.config import Config
from training_loop.model import build_model
from training_loop.predict import accuracy, predict
from training_loop.runtime.accelerator import start_accelerator
from training_loop.tasks.objective import Result, classification
from training_loop.trainer import LOG_EVERY, DivergedError, Epoch, Trainer


class Classifier(nn.Module):
    """A linear model of sequences (batch, 3, 4); its dropout depends on the training mode."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 5)
        self.dropout = dropout
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(F.dropout(x.flatten(1), self.dropout, self.training))
        return logits


def images(count: int = 19) -> Batches:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(256, (count, 3, 4), generator=generator, dtype=torch.uint8)
    return Batches(drawn, torch.randint(5, (count,), generator=generator), "rows", 8)


def start(num_images: int = 19, **options: Any) -> Trainer:
    config = Config(epochs=2, batch_size=8, **options).resolved("mnist", "cpu")
    torch.manual_seed(1)
    return Trainer(config, start_accelerator("cpu"), Classifier(), num_images, classification(5))


def an_epoch(trainer: Trainer, batches: Batches) -> list[float]:
    for batch in batches:
        trainer.take_step(batch)
    trainer.read_losses()
    return trainer.step_losses


@pytest.mark.parametrize("clip_norm", [0.0, 0.3, 100.0])
@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_an_epoch_takes_one_optimizer_step_per_batch(schedule: str, clip_norm: float) -> None:
    options = {"warm_up": 0.4, "beta2": 0.9}
    trainer = start(schedule=schedule, clip_norm=clip_norm, learning_rate=0.1, **options)
    torch.manual_seed(1)
    expected = Classifier()
    optimizer = torch.optim.Adam(expected.parameters(), lr=0.1, betas=(0.9, 0.9))
    if schedule == "one-cycle":
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=6, pct_start=0.4)
    losses, clipped = [], []
    for batch in images():
        optimizer.zero_grad()
        loss = F.cross_entropy(expected(batch.sequences), batch.labels)
        loss.backward()
        if clip_norm:
            norm = nn.utils.clip_grad_norm_(expected.parameters(), clip_norm)
            clipped.append(norm.item() > clip_norm)
        optimizer.step()
        if schedule == "one-cycle":
            cycle.step()
        losses.append(loss.item())
    assert set(clipped) == {0.0: set(), 0.3: {True}, 100.0: {False}}[clip_norm]

    torch.manual_seed(1)
    Classifier()  # so that dropout draws the same masks as the expected model
    assert an_epoch(trainer, images()) == pytest.approx(losses, rel=1e-5)
    for name, weight in trainer.plain_model.state_dict().items():
        torch.testing.assert_close(weight, expected.state_dict()[name], rtol=1e-4, atol=1e-6)
    assert trainer.step == trainer.step_in_epoch == 3


def test_the_loss_of_an_epoch_is_the_mean_over_its_images() -> None:
    trainer = start()
    with trainer.timed_pass():
        first, second, third = an_epoch(trainer, images())
    epoch = trainer.end_epoch(Result(0.25, 0.5))
    assert epoch.training_loss == pytest.approx((8 * first + 8 * second + 3 * third) / 19)
    assert (epoch.number, epoch.test_loss, epoch.accuracy) == (1, 0.25, 0.5)
    assert epoch.sequences_per_second > 0
    assert (trainer.epoch, trainer.step, trainer.step_in_epoch) == (2, 3, 0)
    assert trainer.epochs == [epoch]


def test_the_test_after_an_epoch_does_not_count_as_training_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]

    def interrupt() -> None:
        clock[0] += 2
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module.time, "perf_counter", lambda: clock[0])
    trainer = start()
    with pytest.raises(KeyboardInterrupt), trainer.timed_pass():
        interrupt()
    clock[0] += 1000
    with trainer.timed_pass():
        an_epoch(trainer, images())
        clock[0] += 3
    clock[0] += 1000
    assert trainer.end_epoch(Result(0.25, 0.5)).sequences_per_second == 19 / 5
    assert trainer.pass_seconds == 0


def test_metrics_before_the_first_step_have_no_loss() -> None:
    assert math.isnan(start().metrics().loss)


def test_reading_the_losses_does_not_change_the_metrics() -> None:
    trainer = start(num_images=8 * 24)
    batches = list(images(8 * 24))
    for batch in batches[:-1]:
        trainer.take_step(batch)
        trainer.read_losses()
    trainer.take_step(batches[-1])
    loss = trainer.metrics().loss
    assert loss == pytest.approx(sum(trainer.step_losses[-LOG_EVERY:]) / LOG_EVERY)
    assert trainer.metrics().loss == loss


def test_metrics_are_the_mean_loss_and_the_norm_of_each_gradient() -> None:
    trainer = start(clip_norm=1e-3)
    batches = list(images())
    for batch in batches[:2]:
        trainer.take_step(batch)
    metrics = trainer.metrics()
    assert metrics.loss == pytest.approx(sum(trainer.step_losses) / 2)
    assert (metrics.step, metrics.step_in_epoch) == (2, 2)
    assert metrics.gradient_norms.keys() == {"linear.weight", "linear.bias", "unused"}
    assert metrics.gradient_norms["linear.weight"] > 1e-2  # before clipping
    assert metrics.gradient_norms["unused"] == 0
    assert metrics.learning_rate == trainer.optimizer.param_groups[0]["lr"]


def test_one_cycle_rises_to_the_learning_rate_and_falls_to_zero() -> None:
    trainer = start(learning_rate=0.25, schedule="one-cycle", warm_up=0.4)
    rates = []
    for _ in range(2):
        for batch in images():
            rates.append(trainer.metrics().learning_rate)
            trainer.take_step(batch)
    assert max(rates) <= 0.25
    assert rates[0] < max(rates) > 0.2
    assert rates[-1] < 1e-4


def test_scratch_and_builtin_weights_have_the_same_names() -> None:
    config = Config(batch_size=8).resolved("mnist", "cpu")
    names = []
    for implementation in ("scratch", "builtin"):
        model = build_model(Config(implementation=implementation, hidden_size=3), 4, 5)
        trainer = Trainer(config, start_accelerator("cpu"), model, 19, classification(5))
        names.append(list(trainer.weights))
    assert names[0] == names[1]
    assert "layer.weight_hh_l1" in names[0]


def test_a_tied_weight_is_counted_once() -> None:
    class Tied(Classifier):
        def __init__(self) -> None:
            super().__init__(dropout=0)
            self.again = self.linear

    config = Config(batch_size=8, clip_norm=0.1, schedule="constant").resolved("mnist", "cpu")
    plain, tied = (
        Trainer(config, start_accelerator("cpu"), model, 19, classification(5))
        for model in (seeded(Classifier, dropout=0), seeded(Tied))
    )
    assert list(tied.weights) == list(plain.weights) == ["unused", "linear.weight", "linear.bias"]
    assert an_epoch(tied, images()) == an_epoch(plain, images())


def seeded(kind: type[Classifier], **options: Any) -> Classifier:
    torch.manual_seed(1)
    return kind(**options)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [(math.nan, "training loss is nan"), (math.inf, "training loss is (nan|inf)")],
)
@pytest.mark.parametrize("good_steps", [0, 2])
def test_a_loss_that_is_not_finite_raises_with_step_and_gradient(
    spoil: float, what: str, good_steps: int
) -> None:
    trainer = start(learning_rate=0.125)
    batches = list(images())
    for batch in batches[:good_steps]:
        trainer.take_step(batch)
    trainer.take_step(batches[-1]._replace(sequences=batches[-1].sequences * spoil))
    largest = r"; the largest gradient of the step before was linear\.weight, norm \d\S*"
    later = rf"{largest}: lower learning_rate, which is 0.125$"
    first = ", before any weight has changed: scratch lstm is not finite for its initial weights"
    message = rf"^{what} at step {good_steps + 1}{later if good_steps else first}"
    with pytest.raises(DivergedError, match=message):
        trainer.metrics()
    assert len(trainer.step_losses) == good_steps


def test_a_gradient_that_is_not_finite_raises_though_the_loss_is_finite() -> None:
    class RootAtZero(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + (self.unused * 0).abs().sqrt().sum()

    config = Config(batch_size=8).resolved("mnist", "cpu")
    trainer = Trainer(config, start_accelerator("cpu"), RootAtZero(), 19, classification(5))
    trainer.take_step(next(iter(images())))
    with pytest.raises(DivergedError, match=r"^a gradient is not finite at step 1, before"):
        trainer.metrics()


def test_predict_gives_logits_in_the_order_of_the_set() -> None:
    batches = images()
    model = Classifier().train()
    logits = predict(start_accelerator("cpu"), model, batches, batches.num_sequences)
    whole = Batches(batches.images, batches.labels, "rows", 19)
    (batch,) = whole
    torch.testing.assert_close(logits, model.eval()(batch.sequences))
    assert not logits.requires_grad
    assert not model.training


def test_accuracy_is_the_share_of_images_classified_correctly() -> None:
    logits = torch.eye(5)[torch.tensor([0, 1, 2, 3, 4, 0, 1])]
    labels = torch.tensor([0, 1, 2, 3, 3, 1, 1])
    assert accuracy(logits, labels) == 5 / 7


def test_an_epoch_can_be_rebuilt_from_its_values() -> None:
    epoch = Epoch(
        number=3, training_loss=0.5, test_loss=0.4, accuracy=0.75, sequences_per_second=10.0
    )
    assert Epoch(**vars(epoch)) == epoch
