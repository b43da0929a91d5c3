"""The test image that the options select."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gate_explorer import ExplorerError
from gate_explorer.inputs import select_image as module
from gate_explorer.inputs.load_run import LoadedRun
from gate_explorer.inputs.select_image import select_index
from sequenced_mnist import load_images, to_sequences
from shared_interface import SequenceClassifier


@pytest.fixture(scope="module")
def run() -> LoadedRun:
    """An untrained model on the embedded digits."""
    torch.manual_seed(0)
    model = SequenceClassifier(torch.nn.GRU(8, 6, batch_first=True), 10)
    return LoadedRun("gru", model, load_images("digits", Path("data")), "rows")


def with_labels(run: LoadedRun, labels: torch.Tensor) -> LoadedRun:
    """The run with other labels of its test images."""
    return replace(run, images=replace(run.images, test_labels=labels))


def predict_all(run: LoadedRun) -> torch.Tensor:
    """The model's predictions for all test images, computed in one batch."""
    with torch.no_grad():
        return run.model(to_sequences(run.images.test_images, run.sequence)).argmax(dim=1)


@pytest.mark.parametrize("first_mistake", [0, 6, 7, 8, 100])
def test_wrong_selects_the_first_misclassified_image_in_any_batch(
    run: LoadedRun, first_mistake: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IMAGES_AT_ONCE", 7)
    labels = predict_all(run)
    labels[first_mistake:] = (labels[first_mistake:] + 1) % 10
    assert select_index(with_labels(run, labels), None, None, wrong=True) == first_mistake


def test_wrong_raises_if_every_image_is_classified_correctly(run: LoadedRun) -> None:
    all_correct = with_labels(run, predict_all(run))
    with pytest.raises(ExplorerError, match="gru classifies all 364 test images correctly"):
        select_index(all_correct, None, None, wrong=True)
