"""LSTMCell against torch.nn, the equations and finite differences."""

import torch

from scratch_cells import LSTMCell
from scratch_cells.lstm import ProjectedLSTMCell
from tests.helpers.cell_checks import check_against_equations, check_against_torch, check_gradients


def test_equals_torch() -> None:
    check_against_torch("LSTM")


def test_equals_the_equations() -> None:
    check_against_equations("LSTM")


def test_derivatives_equal_finite_differences() -> None:
    check_gradients("LSTM")


def test_an_open_forget_gate_keeps_c_unchanged() -> None:
    """With f = 1 and i = 0 (the constant error carousel) the gradient with respect to c is 1."""
    cell = LSTMCell(2, 3)
    with torch.no_grad():
        cell.bias_ih[:3] = -100.0  # i = 0
        cell.bias_ih[3:6] = 100.0  # f = 1
    c = first = torch.randn(4, 3, requires_grad=True)
    h = torch.zeros(4, 3)
    for _ in range(50):
        h, c = cell(torch.randn(4, 2), (h, c))
    assert torch.equal(c, first)
    (gradient,) = torch.autograd.grad(c.sum(), first)
    torch.testing.assert_close(gradient, torch.ones(4, 3))


def test_projected_cell_equals_one_step_of_torch_lstm() -> None:
    torch.manual_seed(0)
    cell = ProjectedLSTMCell(3, 5, proj_size=2, dtype=torch.float64)
    layer = torch.nn.LSTM(3, 5, proj_size=2, dtype=torch.float64)
    layer.load_state_dict({f"{name}_l0": weight for name, weight in cell.state_dict().items()})
    x = torch.randn(4, 3, dtype=torch.float64)
    h, c = cell(x)
    _, (h_n, c_n) = layer(x.unsqueeze(0))
    torch.testing.assert_close((h, c), (h_n[0], c_n[0]), rtol=1e-12, atol=1e-12)
