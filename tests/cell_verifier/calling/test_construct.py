"""Constructing the user's module with the options that its constructor requires."""

from typing import Any

import pytest
import torch
from torch import nn

from cell_verifier.calling.construct import (
    accepts_argument,
    construct_module,
    construct_with_test_weights,
    declares_argument,
)
from cell_verifier.errors import CannotCheckError
from cell_verifier.reference.probes import FLOAT64


def with_required_bias(input_size: int, hidden_size: int, bias: bool) -> nn.Module:
    return nn.RNNCell(input_size, hidden_size, bias=bias)


def with_kwargs(input_size: int, hidden_size: int, **options: Any) -> nn.Module:
    return nn.RNN(input_size, hidden_size, **options)


def test_an_option_without_a_default_is_passed() -> None:
    module = construct_module(with_required_bias, FLOAT64)
    assert "bias_ih" in dict(module.named_parameters())


def test_the_module_has_the_dtype_and_is_in_eval_mode() -> None:
    module = construct_module(nn.RNNCell, FLOAT64)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}
    assert not module.training


def test_two_modules_with_test_weights_are_equal_and_have_no_zero_biases() -> None:
    one, other = (construct_with_test_weights(nn.LSTMCell, FLOAT64) for _ in range(2))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert bool((a != 0).all())


def test_options_via_kwargs_are_accepted_but_not_declared() -> None:
    assert accepts_argument(with_kwargs, "batch_first")
    assert not declares_argument(with_kwargs, "batch_first")
    assert declares_argument(with_required_bias, "bias")
    assert not accepts_argument(with_required_bias, "batch_first")


def test_a_result_that_is_not_a_module_cannot_be_checked() -> None:
    with pytest.raises(CannotCheckError, match="returns a int"):
        construct_module(lambda input_size, hidden_size: 7, FLOAT64)
