"""Small classifiers and an image, for the tests of the explorer."""

from typing import Any

import pytest
import torch

import scratch_cells
from gate_explorer import Observation, observe
from gate_explorer.panels.panel_types import Panel
from shared_interface import SequenceClassifier

KINDS = ("RNN", "GRU", "LSTM")
UNITS, CLASSES = 4, 3
IMAGE = torch.randint(256, (6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier(package: Any, kind: str, **options: Any) -> SequenceClassifier:
    """A float64 classifier on ``package``'s layer, with the same weights for every package."""
    torch.manual_seed(1)
    layer = getattr(package, kind)(5, UNITS, batch_first=True, dtype=torch.float64, **options)
    return SequenceClassifier(layer, CLASSES).double()


def by_key(panels: tuple[Panel, ...]) -> dict[str, Any]:
    """The panels by their keys."""
    return {panel.key: panel for panel in panels}


@pytest.fixture
def lstm_observation() -> Observation:
    """An observation of a hand-written LSTM with two layers."""
    return observe(classifier(scratch_cells, "LSTM", num_layers=2), IMAGE)
