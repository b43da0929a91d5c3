"""Observations and traces as NumPy arrays."""

import numpy as np
import torch
from torch import nn

from gate_explorer import Observation, observation_to_arrays, trace_to_arrays
from scratch_cells import trace
from tests.gate_explorer.small_models import UNITS


def test_arrays_contain_everything_observed(lstm_observation: Observation) -> None:
    arrays = observation_to_arrays(lstm_observation)
    assert arrays["layer1.gates.forget"].shape == (6, UNITS)
    assert arrays["layer0.gradients.cell"].shape == (6,)
    assert {"image", "steps", "probabilities", "input_gradient", "difference"} <= arrays.keys()
    assert all(type(array) is np.ndarray for array in arrays.values())


def test_a_trace_of_any_layout_becomes_arrays() -> None:
    layer = nn.GRU(3, UNITS, bidirectional=True)
    traced = trace(layer, torch.randn(5, 2, 3))
    arrays = trace_to_arrays(traced)
    assert len(arrays) == 1 + 2 * 4
    reset = traced.of(0, reverse=True).gates.reset
    np.testing.assert_array_equal(arrays["layer0.reverse.gates.reset"], reset.detach())
    packed = nn.utils.rnn.pack_sequence([torch.randn(2, 3), torch.randn(1, 3)])
    assert trace_to_arrays(trace(layer, packed))["output"].shape == (3, 2 * UNITS)
