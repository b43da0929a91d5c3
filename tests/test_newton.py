"""Newton's method over a sequence: exact after T iterations, and fast before."""

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.minimal_gated_cell import MinimalGatedCell
from examples.newton import newton_iterations
from examples.peephole_lstm import PeepholeLSTMCell
from scratch_cells import Cell, GRUCell, LSTMCell, RNNCell
from scratch_cells.cell import map_state
from scratch_cells.unroll import unroll

CELLS = (RNNCell, GRUCell, LSTMCell, MinimalGatedCell, PeepholeLSTMCell)


@pytest.mark.parametrize("cell_class", CELLS)
@settings(max_examples=10, deadline=None)
@given(time=st.integers(1, 6), batch=st.integers(1, 2), scale=st.sampled_from([1.0, 4.0]))
@torch.no_grad()
def test_the_first_k_states_are_exact_after_k_iterations(
    cell_class: type[Cell], time: int, batch: int, scale: float
) -> None:
    torch.manual_seed(0)
    cell = cell_class(3, 4, dtype=torch.float64)
    for weight in cell.parameters():
        weight.normal_(0, scale)
    x = torch.randn(time, batch, 3, dtype=torch.float64)
    state = map_state(torch.randn_like, cell.zero_state(x[0]))
    right, _ = unroll(cell, x, state)
    for k, states in enumerate(islice(newton_iterations(cell, x, state), time), start=1):
        torch.testing.assert_close(states[:k, :, :4], right[:k], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cell_class", [RNNCell, GRUCell, LSTMCell])
@torch.no_grad()
def test_a_few_iterations_are_enough_for_initial_weights(cell_class: type[Cell]) -> None:
    torch.manual_seed(0)
    cell = cell_class(3, 8, dtype=torch.float64)
    x = torch.randn(60, 2, 3, dtype=torch.float64)
    state = cell.zero_state(x[0])
    right, _ = unroll(cell, x, state)
    errors = [
        float((states[..., :8] - right).abs().max())
        for states in islice(newton_iterations(cell, x, state), 5)
    ]
    assert errors[0] > 1e-3
    assert errors[4] < 1e-12
    assert errors[2] < 10 * errors[1] ** 2 + 1e-12  # quadratic
