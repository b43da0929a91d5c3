"""RNNCell against torch.nn, the equations and finite differences."""

from tests.helpers.cell_checks import check_against_equations, check_against_torch, check_gradients


def test_equals_torch() -> None:
    check_against_torch("RNN")


def test_equals_the_equations() -> None:
    check_against_equations("RNN")


def test_derivatives_equal_finite_differences() -> None:
    check_gradients("RNN")


def test_relu_equals_torch() -> None:
    check_against_torch("RNN", nonlinearity="relu")
