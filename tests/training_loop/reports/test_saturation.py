"""training_loop/reports/saturation.py: the share of gate values at either end of their range."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells import Cell, from_torch, layer_of, trace
from training_loop.reports.saturation import is_gate, saturated, saturation


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_shares_equal_counts_over_the_traced_gates(kind: str) -> None:
    torch.manual_seed(0)
    layer = getattr(nn, kind)(3, 4, 2, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(4)
    x = torch.randn(5, 6, 3)
    shares = saturation(layer, x)
    assert shares == pytest.approx(saturation(from_torch(layer), x))
    names = trace(layer, x).of().gates._fields
    assert len(shares) == 2 * 2 * len(names) * 2
    gates = trace(layer, x).of(layer=1, reverse=True).gates
    for name in names:
        low = -0.9 if name == "candidate" else 0.1
        gate = getattr(gates, name)
        open_share = shares[f"layer 1 reverse {name}/open"]
        assert open_share == pytest.approx((gate > 0.9).double().mean().item())
        shut_share = shares[f"layer 1 reverse {name}/shut"]
        assert shut_share == pytest.approx((gate < low).double().mean().item())
    assert any(shares.values())


class SignedGateCell(Cell):
    """Its field ``scale`` is called like a gate but has values from -1 to 1."""

    class Gates(NamedTuple):
        scale: Tensor
        candidate: Tensor

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        return self.Gates(*torch.tanh(projected + self.hidden_to_hidden(h)).chunk(2, dim=-1))

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        return gates.scale * gates.candidate


def test_a_users_gate_with_negative_values_is_shut_below_minus_0_9() -> None:
    torch.manual_seed(0)
    layer = layer_of(SignedGateCell)(3, 4, batch_first=True)
    x = 3 * torch.randn(5, 6, 3)
    scale = trace(layer, x).of().gates.scale
    assert scale.min() < -0.9
    shares = saturation(layer, x)
    assert shares["layer 0 scale/shut"] == pytest.approx((scale < -0.9).double().mean().item())
    assert shares["layer 0 scale/open"] == pytest.approx((scale > 0.9).double().mean().item())


@pytest.mark.parametrize("make", [np.array, torch.tensor])
@pytest.mark.parametrize(
    ("name", "values", "gate", "shut"),
    [
        ("forget", [0.0, 0.5, 1.0], True, [True, False, False]),
        ("candidate", [0.0, 0.5, 1.0], False, [False, False, False]),
        ("scale", [-0.95, 0.0, 1.0], False, [True, False, False]),
        ("scale", [0.0, 0.5, 1.5], False, [False, False, False]),
    ],
)
def test_one_rule_for_tensors_and_arrays(
    make: object, name: str, values: list[float], gate: bool, shut: list[bool]
) -> None:
    assert callable(make)
    array = make(values)
    assert is_gate(name, array) == gate
    open_mask, shut_mask = saturated(name, array)
    assert open_mask.tolist() == [False, False, True]
    assert shut_mask.tolist() == shut


def test_a_users_cell_has_saturation() -> None:
    layer = layer_of(MinimalGatedCell)(3, 4, batch_first=True)
    assert "layer 0 forget/open" in saturation(layer, torch.randn(2, 5, 3))


def test_a_layer_that_cannot_be_traced_has_no_saturation() -> None:
    assert saturation(nn.Linear(3, 4), torch.randn(2, 5, 3)) == {}
