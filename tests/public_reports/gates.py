"""Equations, gates and cells of one's own."""

from typing import Any

import torch
from torch import Tensor, nn

import scratch_cells
from tests.public_reports.helpers import DOUBLE, close
from tests.public_reports.report import not_supported, report


@report("pytorch/pytorch#99531", "Incorrect documentation/implementation of the new gate in GRU")
def new_gate(layers: Any) -> None:
    """Compute one step of a GRU by the documented equations: r multiplies W h + b."""
    layer = layers.GRU(3, 4, **DOUBLE)
    x, h = torch.randn(2, 3, **DOUBLE), torch.randn(2, 4, **DOUBLE)
    from_x = nn.functional.linear(x, layer.weight_ih_l0, layer.bias_ih_l0).chunk(3, 1)
    from_h = nn.functional.linear(h, layer.weight_hh_l0, layer.bias_hh_l0).chunk(3, 1)
    r, z = (from_x[0] + from_h[0]).sigmoid(), (from_x[1] + from_h[1]).sigmoid()
    n = (from_x[2] + r * from_h[2]).tanh()
    close(layer(x[None], h[None])[1][0], (1 - z) * n + z * h)


@report(
    "pytorch/pytorch#31423",
    "Add option in LSTM layer to access all cell states of all time steps",
    torch_nn=not_supported("AttributeError: module 'torch.nn' has no attribute 'trace'"),
)
def all_cell_states(layers: Any) -> None:
    """Read c of every time step: `scratch_cells.trace` records it."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    x = torch.randn(5, 2, 3, **DOUBLE)
    states = layers.trace(layer, x).of(layer=0).cell
    for length in range(1, 6):
        close(states[length - 1], layer(x[:length])[1][1][0])


class LayerNormLSTMCell(scratch_cells.LSTMCell):
    """An LSTM cell with a normalized c."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.norm = nn.LayerNorm(self.hidden_size, dtype=options.get("dtype"))

    def update(self, gates: Any, state: Any) -> Any:
        c = self.norm(gates.forget * state[1] + gates.input * gates.candidate)
        return gates.output * c.tanh(), c


class SoftsignRNNCell(scratch_cells.RNNCell):
    """An RNN cell with another activation."""

    def activation(self, x: Tensor) -> Tensor:
        return nn.functional.softsign(x)


@report(
    "pytorch/pytorch#12167",
    "Add `LNLSTMCell`: current API does not support combining `nn.LayerNorm` and LSTMCell",
    torch_nn=not_supported("AttributeError: module 'torch.nn' has no attribute 'layer_of'"),
)
def layer_normalization(layers: Any) -> None:
    """Build a bidirectional layer from a cell with layer normalization and train it."""
    layer = layers.layer_of(LayerNormLSTMCell)(3, 4, bidirectional=True, **DOUBLE)
    _, (_, c) = layer(torch.randn(5, 2, 3, **DOUBLE))
    close(c.mean(-1), torch.zeros(2, 2, **DOUBLE))
    c.pow(3).sum().backward()
    assert all(weight.grad is not None for weight in layer.parameters())


@report(
    "pytorch/pytorch#1173",
    "Add options for activation function in LSTM and GRU",
    torch_nn=not_supported("AttributeError: module 'torch.nn' has no attribute 'layer_of'"),
)
def another_activation(layers: Any) -> None:
    """Build a layer from a cell with another activation."""
    layer = layers.layer_of(SoftsignRNNCell)(3, 4, **DOUBLE)
    x = torch.randn(1, 2, 3, **DOUBLE)
    weights = layer.weight_ih_l0, layer.bias_ih_l0 + layer.bias_hh_l0
    close(layer(x)[0], nn.functional.softsign(nn.functional.linear(x, *weights)))
