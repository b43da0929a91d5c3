"""Compilation, export and quantization."""

from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.ao.quantization import quantize_dynamic

from tests.public_reports.helpers import DOUBLE, close, hidden_of
from tests.public_reports.report import not_supported, report


@report(
    "pytorch/pytorch#171853",
    'torch.compile fails on LSTM with "Unsupported" error',
    torch_nn=not_supported("Unsupported: Attempted to wrap RNN, GRU, or LSTM"),
)
def compile_without_graph_break(layers: Any) -> None:
    """Compile a batch-first LSTM with `torch.compile(fullgraph=True)`."""
    torch.compiler.reset()
    layer = layers.LSTM(10, 5, batch_first=True, **DOUBLE)
    x = torch.randn(2, 3, 10, **DOUBLE)
    compiled = torch.compile(lambda x: layer(x)[0], fullgraph=True, backend="eager")
    close(compiled(x), layer(x)[0])


@report(
    "pytorch/pytorch#120626",
    "[export] `nn.GRU` fails to `torch.export` due to unimplemented operator",
)
def export_gru(layers: Any) -> None:
    """Export a GRU with `torch.export`."""
    layer = layers.GRU(3, 4, batch_first=True, **DOUBLE)
    x = torch.randn(1, 5, 3, **DOUBLE)
    close(torch.export.export(layer, (x,)).module()(x)[0], layer(x)[0])


@report("pytorch/pytorch#126339", "RNN/GRU/LSTM fail to export()/dynamo_export")
def export_with_dynamic_batch(layers: Any) -> None:
    """Export a two-layer GRU with a dynamic batch size and call it with another one."""
    layer = layers.GRU(3, 4, 2, batch_first=True, **DOUBLE)
    shapes = ({0: torch.export.Dim("batch", max=1024)},)
    exported = torch.export.export(
        layer, (torch.randn(2, 5, 3, **DOUBLE),), dynamic_shapes=shapes
    ).module()
    x = torch.randn(7, 5, 3, **DOUBLE)
    close(exported(x)[0], layer(x)[0])


@report(
    "pytorch/pytorch#93555",
    "LSTM and RNN fail dynamo lowering in eval mode due to FakeTensor issues",
)
def fake_tensors(layers: Any) -> None:
    """Build and call an LSTM in eval mode under `FakeTensorMode`, for the shapes alone."""
    with FakeTensorMode():
        output, state = layers.LSTM(3, 4, 2).eval()(torch.randn(5, 2, 3))
    assert output.shape == (5, 2, 4)
    assert hidden_of(state).shape == (2, 2, 4)


@report(
    "pytorch/pytorch#25954",
    "[pt1][quant] Add torch.nn.LSTM into the default dynamic quantize mappings",
)
def quantize(layers: Any) -> None:
    """Quantize a model with an LSTM by `quantize_dynamic`."""
    check_quantized(nn.ModuleDict({"rnn": layers.LSTM(8, 16)}))


@report(
    "pytorch/pytorch#74953",
    "LSTM quantization fails if proj_size > 0",
    torch_nn=not_supported("RuntimeError: The number of rows in the packB should be equal to K"),
)
def quantize_projection(layers: Any) -> None:
    """Quantize a model with an LSTM that has a projection."""
    check_quantized(nn.ModuleDict({"rnn": layers.LSTM(8, 16, proj_size=4)}))


def check_quantized(model: nn.ModuleDict) -> None:
    """The quantized model has int8 weights and outputs near those of the given one."""
    x = torch.randn(5, 2, 8)
    expected = model["rnn"](x)[0]
    quantized = quantize_dynamic(model, {nn.Linear, nn.LSTM, type(model["rnn"])})
    actual = quantized["rnn"](x)[0]
    assert "dynamic" in repr([type(each) for each in quantized.modules()]), "nothing is quantized"
    torch.testing.assert_close(actual, expected, rtol=0, atol=0.05)
    assert not torch.equal(actual, expected), "the quantized weights are not used"
