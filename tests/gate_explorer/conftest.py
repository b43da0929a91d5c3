"""Fixtures of the explorer's tests."""

import pytest

import scratch_cells
from gate_explorer import Observation, observe
from tests.gate_explorer.small_models import IMAGE, classifier


@pytest.fixture
def lstm_observation() -> Observation:
    """An observation of a hand-written LSTM with two layers."""
    return observe(classifier(scratch_cells, "LSTM", num_layers=2), IMAGE)
