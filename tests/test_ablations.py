"""examples/ablations.py: each cell equals the whole cell with one gate overwritten."""

import pytest
import torch
from torch import Tensor

from examples import ablations
from scratch_cells import GRUCell, LSTMCell


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def pre_activations(cell: LSTMCell | GRUCell, x: Tensor, h: Tensor) -> list[tuple[Tensor, Tensor]]:
    """W_ih x + b_ih and W_hh h + b_hh of each gate."""
    of_x = x @ cell.weight_ih.T + cell.bias_ih
    of_h = h @ cell.weight_hh.T + cell.bias_hh
    return list(zip(of_x.split(4, dim=1), of_h.split(4, dim=1), strict=True))


@pytest.mark.parametrize("removed", ["forget", "input", "output", "coupled"])
def test_an_lstm_without_a_part_equals_its_equations(removed: str) -> None:
    torch.manual_seed(0)
    name = {"coupled": "LSTMWithCoupledGates"}.get(removed, f"LSTMWithout{removed.title()}Gate")
    cell = getattr(ablations, name)(3, 4, dtype=torch.float64)
    x, h, c = (torch.randn(2, size, dtype=torch.float64) for size in (3, 4, 4))
    i, f, g, o = (of_x + of_h for of_x, of_h in pre_activations(cell, x, h))
    i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
    if removed == "coupled":
        f = 1 - i
    i = torch.ones_like(i) if removed == "input" else i
    f = torch.ones_like(f) if removed == "forget" else f
    o = torch.ones_like(o) if removed == "output" else o
    right_c = f * c + i * torch.tanh(g)
    new_h, new_c = cell(x, (h, c))
    torch.testing.assert_close(new_c, right_c, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(new_h, o * torch.tanh(right_c), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("removed", ["Reset", "Update"])
def test_a_gru_without_a_gate_equals_its_equations(removed: str) -> None:
    torch.manual_seed(0)
    cell = getattr(ablations, f"GRUWithout{removed}Gate")(3, 4, dtype=torch.float64)
    x, h = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    (r_x, r_h), (z_x, z_h), (n_x, n_h) = pre_activations(cell, x, h)
    r = torch.ones_like(r_x) if removed == "Reset" else sigmoid(r_x + r_h)
    z = torch.zeros_like(z_x) if removed == "Update" else sigmoid(z_x + z_h)
    n = torch.tanh(n_x + r * n_h)
    torch.testing.assert_close(cell(x, h), (1 - z) * n + z * h, rtol=1e-12, atol=1e-12)
