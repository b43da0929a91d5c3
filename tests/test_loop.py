"""training_loop/loop.py against the same arithmetic written out with plain torch."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from training_loop.config import ConfigError
from training_loop.device import start_accelerator
from training_loop.loop import Epoch, TrainedEpoch, evaluate, train_epoch

Batch = tuple[Tensor, Tensor]


class Classifier(nn.Module):
    """A linear model of sequences (batch, 2, 3), with dropout so that its mode shows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.dropout(x.flatten(1), 0.5, self.training))


def batches(*sizes: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(size, 2, 3, generator=generator),
            torch.randint(4, (size,), generator=generator),
        )
        for size in sizes
    ]


def start(learning_rate: float = 0.1) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = Classifier()
    return model, torch.optim.Adam(model.parameters(), lr=learning_rate)


def test_an_epoch_is_one_optimizer_step_a_batch() -> None:
    data = batches(8, 8, 3)
    expected, optimizer = start()
    expected_losses = []
    for sequences, labels in data:
        optimizer.zero_grad()
        loss = F.cross_entropy(expected(sequences), labels)
        loss.backward()
        optimizer.step()
        expected_losses.append(loss.item())

    accelerator = start_accelerator("cpu")
    model, optimizer = accelerator.prepare(*start())
    model.eval()
    trained = train_epoch(accelerator, model, optimizer, data)

    for weight, expected_weight in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(weight, expected_weight)
    assert trained.step_losses == expected_losses
    first, second, third = expected_losses
    assert trained.loss == pytest.approx((8 * first + 8 * second + 3 * third) / 19, rel=1e-12)
    assert trained.images_per_second > 0
    assert model.training


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    accelerator = start_accelerator("cpu")
    model, optimizer = accelerator.prepare(*start())
    (sequences, labels), *_ = batches(4)
    with pytest.raises(ConfigError, match=r"training loss is nan: .* lower learning_rate"):
        train_epoch(accelerator, model, optimizer, [(sequences * torch.nan, labels)])


def test_accuracy_is_the_share_of_images_named_rightly() -> None:
    model = nn.Flatten()  # the sequences are the logits
    logits = torch.eye(5)[torch.tensor([0, 1, 2, 3, 4, 0, 1])].unsqueeze(1)
    labels = torch.tensor([0, 1, 2, 3, 3, 1, 1])
    parts = list(zip(logits.split(3), labels.split(3), strict=True))
    assert evaluate(model, parts) == pytest.approx(5 / 7)


def test_testing_is_without_dropout_and_without_gradients() -> None:
    class Spy(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            seen.append((self.training, logits.requires_grad))
            return logits

    seen: list[tuple[bool, bool]] = []
    evaluate(Spy().train(), batches(4, 4))
    assert seen == [(False, False)] * 2


def test_an_epoch_in_one_line() -> None:
    epoch = Epoch(3, TrainedEpoch([0.5], 0.51239, 1234.5), test_accuracy=0.98765)
    assert str(epoch) == "epoch 3: training loss 0.5124, test accuracy 98.77 %, 1234 images/s"
