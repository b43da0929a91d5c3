"""Tools that replace modules or copy them: quantization, adapters, fake tensors, pickle."""

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import scratch_cells
from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells import GRUCell, layer_of

KINDS = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


class LowRankAdapter(nn.Module):
    """A module that adds a low-rank update to an ``nn.Linear`` and has no ``weight``."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        result: Tensor = self.base(h) + self.up(self.down(h))
        return result


@pytest.mark.parametrize("linear", ["input_to_hidden", "hidden_to_hidden"])
@pytest.mark.parametrize("backend", ["auto", "plain", "bptt"])
@KINDS
def test_an_adapter_replaces_a_linear(kind: str, backend: str, linear: str) -> None:
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(3, 4, backend=backend)
    merged = copy.deepcopy(layer)
    adapter = LowRankAdapter(getattr(layer.cells[0], linear))
    setattr(layer.cells[0], linear, adapter)
    with torch.no_grad():
        getattr(merged.cells[0], linear).weight += adapter.up.weight @ adapter.down.weight
    x = torch.randn(5, 2, 3)
    output = layer(x)[0]
    torch.testing.assert_close(output, merged(x)[0])
    output.sum().backward()
    assert adapter.up.weight.grad is not None
    cell = layer.cells[0]
    torch.testing.assert_close(cell(x[0]), merged.cells[0](x[0]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*deprecated:UserWarning")
@pytest.mark.parametrize("mapping", [None, {nn.Linear}], ids=["default", "Linear"])
@KINDS
def test_dynamic_quantization_gives_nearly_the_same_output(kind: str, mapping: Any) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "layer": getattr(scratch_cells, kind)(8, 16, 2, bidirectional=True),
            "cell": getattr(scratch_cells, f"{kind}Cell")(8, 16),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.ao.quantization.quantize_dynamic(model, mapping)
    assert type(quantized["layer"].cells[3].hidden_to_hidden) is not nn.Linear
    x = torch.randn(7, 3, 8)
    output, expected = quantized["layer"](x)[0], model["layer"](x)[0]
    assert 0 < (output - expected).abs().max() < 0.05
    hidden, expected = quantized["cell"](x[0]), model["cell"](x[0])
    if kind == "LSTM":
        hidden, expected = hidden[0], expected[0]
    assert 0 < (hidden - expected).abs().max() < 0.05


@KINDS
def test_layers_and_cells_can_be_made_of_fake_tensors(kind: str) -> None:
    with FakeTensorMode():
        layer = getattr(scratch_cells, kind)(3, 4, 2, bidirectional=True)
        cell = getattr(scratch_cells, f"{kind}Cell")(3, 4)
        assert all(isinstance(weight, FakeTensor) for weight in layer.parameters())
        output, _ = layer(torch.randn(5, 2, 3))
        assert isinstance(output, FakeTensor)
        assert output.shape == (5, 2, 8)
        hidden = cell(torch.randn(2, 3))
        assert (hidden[0] if kind == "LSTM" else hidden).shape == (2, 4)


@pytest.mark.parametrize("cell_class", [GRUCell, MinimalGatedCell])
def test_a_layer_of_a_cell_can_be_pickled_and_copied(cell_class: Any) -> None:
    layer = layer_of(cell_class)(3, 4, 2)
    x = torch.randn(5, 2, 3)
    for copied in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), copy.copy(layer)):
        assert type(copied) is type(layer)
        assert torch.equal(copied(x)[0], layer(x)[0])


class NamedLayer(layer_of(GRUCell)):
    """A subclass of a layer class that layer_of returned."""


def test_a_subclass_of_a_layer_of_a_cell_can_be_pickled() -> None:
    layer = pickle.loads(pickle.dumps(NamedLayer(3, 4)))
    assert type(layer) is NamedLayer


@KINDS
def test_cpu_offload_works_with_the_weights_under_both_names(kind: str) -> None:
    model = nn.ModuleDict({"rnn": getattr(scratch_cells, kind)(3, 4, 2, bidirectional=True)})
    x = torch.randn(5, 2, 3)
    weights = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        expected = model["rnn"](x)[0]
        cpu_offload(model, torch.device("cpu"), state_dict=weights)
        for _ in range(2):
            torch.testing.assert_close(model["rnn"](x)[0], expected)
            assert all(weight.is_meta for weight in model.parameters())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("batch", [4, 5])
@KINDS
def test_opacus_raises_as_for_torchs_layers(kind: str, batch: int) -> None:
    """It handles a layer with parameters as one module, whose output must be one tensor.

    It takes dim 0 for the batch, so a layer that is time-major inside could give wrong gradients
    where the sequence has as many time steps as the batch has samples: it must raise there, too.
    """
    grad_sample = pytest.importorskip("opacus.grad_sample")
    for package in (scratch_cells, nn):
        layer = getattr(package, kind)(3, 4, batch_first=True)
        wrapped = grad_sample.GradSampleModule(layer, batch_first=True)
        words = "only integer tensors|doesn't match the broadcast shape"
        with pytest.raises((TypeError, RuntimeError), match=words):
            wrapped(torch.randn(batch, 4, 3))[0].sum().backward()
