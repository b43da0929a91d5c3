"""Arguments and state shapes of a call."""

import pytest
import torch
from torch import nn

from cell_verifier.calling.conventions import (
    StateAxis,
    argument_orders,
    from_torch_state,
    to_torch_state,
)
from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.probes import BATCH, HIDDEN_SIZE


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        ("layer", (1, BATCH, HIDDEN_SIZE)),
        ("batch", (BATCH, 1, HIDDEN_SIZE)),
        ("flat", (BATCH, HIDDEN_SIZE)),
    ],
)
def test_a_state_is_converted_to_the_layers_shape_and_back(
    axis: StateAxis, shape: tuple[int, ...]
) -> None:
    state = torch.randn(1, BATCH, HIDDEN_SIZE)
    converted = from_torch_state(state, axis)
    assert tuple(converted.shape) == shape
    assert torch.equal(to_torch_state(converted, BATCH), state)


class Echo(nn.Module):
    """Returns its arguments."""

    def forward(self, *arguments):
        return arguments


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_argument_orders_pass_the_arguments_of_their_printable_form(kind: str) -> None:
    """The words, evaluated with the names x, h and c, are the arguments."""
    x, h, c = torch.zeros(1, 2), torch.ones(1, 3), torch.full((1, 3), 2.0)
    state = (h,) if kind == "rnn" else (h, c)
    for order in argument_orders(KINDS[kind]):
        passed = order.call(Echo(), x, state)
        expected = eval(f"({order.words},)", {"x": x, "h": h, "c": c, "torch": torch})
        assert len(passed) == len(expected)
        for got, wanted in zip(passed, expected, strict=True):
            assert type(got) is type(wanted)
            parts = (
                zip(got, wanted, strict=True) if isinstance(got, tuple | list) else [(got, wanted)]
            )
            assert all(torch.equal(a, b) for a, b in parts)
