"""Small classifiers and an image, for the tests of the explorer."""

from typing import Any

import torch

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
