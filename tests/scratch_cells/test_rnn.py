"""RNNCell: torch.nn's, the equations, and finite differences agree."""

from tests.helpers.cell_checks import check_against_equations, check_against_torch, check_gradients


def test_equals_torch() -> None:
    check_against_torch("RNN")


def test_equals_the_equations() -> None:
    check_against_equations("RNN")


def test_first_and_second_derivatives() -> None:
    check_gradients("RNN")


def test_relu_equals_torch() -> None:
    check_against_torch("RNN", nonlinearity="relu")
