"""Observed probabilities and differences compared with torch.nn; errors for unusable arguments."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import builtin_models
import scratch_cells
from gate_explorer import ExplorerError, explore, observe
from gate_explorer.observation.time_bins import TimeBins
from sequenced_mnist import to_sequences
from shared_interface import SequenceClassifier
from tests.gate_explorer.small_models import CLASSES, IMAGE, KINDS, classifier


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("package", [scratch_cells, builtin_models])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_equal_those_of_torch_nn_on_every_prefix(
    kind: str, package: Any, bidirectional: bool
) -> None:
    options = {"num_layers": 2, "bidirectional": bidirectional}
    model, builtin = classifier(package, kind, **options), classifier(nn, kind, **options)
    observation = observe(model, IMAGE)
    steps = IMAGE.double() / 127.5
    assert observation.probabilities.shape == (6, CLASSES)
    for end in range(1, 7):
        expected = builtin(steps[None, :end]).softmax(dim=1)[0]
        # the image is converted to float32 before it is converted to float64
        np.testing.assert_allclose(observation.probabilities[end - 1], expected.detach(), atol=1e-6)


def test_a_long_bidirectional_sequence_has_probabilities_at_the_end_of_each_bin() -> None:
    torch.manual_seed(0)
    image = torch.randint(256, (24, 25), dtype=torch.uint8)
    layer = nn.GRU(1, 3, batch_first=True, bidirectional=True)
    model = SequenceClassifier(layer, CLASSES)
    observation = observe(model, image, sequence="pixels")
    last_steps = TimeBins.for_time(600).last_steps
    known = ~np.isnan(observation.probabilities).any(axis=1)
    assert known.nonzero()[0].tolist() == last_steps
    steps = to_sequences(image[None], "pixels")
    expected = model(steps[:, : last_steps[70] + 1]).softmax(dim=1)[0].detach()
    np.testing.assert_allclose(observation.probabilities[last_steps[70]], expected, atol=1e-6)


def test_dropout_is_off_and_the_model_is_unchanged() -> None:
    model = classifier(scratch_cells, "LSTM", num_layers=2, dropout=0.5).train()
    first, second = observe(model, IMAGE), observe(model, IMAGE)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_scratch_and_builtin_outputs_are_equal_and_only_builtin_is_recomputed(kind: str) -> None:
    observation = observe(classifier(builtin_models, kind), IMAGE)
    assert observation.recomputed
    assert observation.difference is not None
    assert 0 <= observation.difference.max() < 1e-12
    assert not observe(classifier(scratch_cells, kind), IMAGE).recomputed


def test_a_planted_difference_from_torch_nn_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    update = scratch_cells.GRUCell.update
    monkeypatch.setattr(scratch_cells.GRUCell, "update", lambda *args: update(*args) + 1e-3)
    observation = observe(classifier(builtin_models, "GRU"), IMAGE)
    assert observation.difference is not None
    assert observation.difference.min() > 1e-4


@pytest.mark.parametrize(
    ("model", "image", "message"),
    [
        (nn.LSTM(5, 4), IMAGE, "model is LSTM: expected a SequenceClassifier"),
        (classifier(nn, "GRU"), IMAGE.float(), r"image is \(6, 5\) torch.float32: expected"),
        (classifier(nn, "GRU"), IMAGE.T, r"steps of 6: expected 5, the layer's input_size"),
    ],
)
def test_a_wrong_model_or_image_raises(model: nn.Module, image: Tensor, message: str) -> None:
    with pytest.raises(ExplorerError, match=message):
        explore(model, image)


def test_a_layer_whose_gates_are_unknown_raises() -> None:
    class Foreign(nn.GRU):
        def forward(self, *args: Any) -> Any:
            return super().forward(*args)

    with pytest.raises(ExplorerError, match="cannot show the gates of Foreign"):
        explore(SequenceClassifier(Foreign(5, 4), CLASSES), IMAGE)
