"""GRUCell against torch.nn, the equations and finite differences."""

import torch

from scratch_cells import GRUCell
from tests.helpers.cell_checks import check_against_equations, check_against_torch, check_gradients


def test_equals_torch() -> None:
    check_against_torch("GRU")


def test_equals_the_equations() -> None:
    check_against_equations("GRU")


def test_derivatives_equal_finite_differences() -> None:
    check_gradients("GRU")


def test_reset_multiplies_the_product_with_its_bias() -> None:
    """With r = 0 the candidate depends only on x: neither W_hn h nor b_hn contributes."""
    cell = GRUCell(2, 3)
    with torch.no_grad():
        cell.bias_hh.fill_(5.0)  # b_hn too
        cell.bias_ih[:3] = -100.0  # r = 0
        cell.bias_ih[3:6] = -100.0  # z = 0: h' is the candidate
    x = torch.randn(4, 2)
    expected = torch.tanh(x @ cell.weight_ih[6:].T + cell.bias_ih[6:])
    torch.testing.assert_close(cell(x, torch.randn(4, 3)), expected)
