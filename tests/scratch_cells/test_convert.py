"""Converting the recurrent layers inside a model keeps its weights and its outputs."""

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

import builtin_models
import scratch_cells
from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells import from_torch, layer_of, to_torch
from tests.helpers.oracles import assert_same
from tests.helpers.strategies import Configuration, configurations


class NestedModel(nn.Module):
    """A model with layers and cells that are nested, in lists, shared and frozen."""

    def __init__(self, package: Any) -> None:
        super().__init__()
        self.encoder = package.LSTM(3, 4, 2, bidirectional=True, proj_size=2, dropout=0.5)
        self.steps = nn.ModuleList([package.RNNCell(4, 4, nonlinearity="relu"), nn.Linear(4, 4)])
        self.inner = nn.Sequential(nn.ModuleDict({"gru": package.GRU(4, 4, bias=False)})["gru"])
        self.again = self.inner[0]
        self.encoder.weight_hh_l0.requires_grad_(False)
        self.output = package.LSTMCell(4, 5)
        self.gate = package.GRUCell(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        encoded, _ = self.encoder(x)
        again, _ = self.again(self.inner(encoded)[0])
        h, _ = self.output(self.steps[1](self.steps[0](again[-1])))
        result: Tensor = self.gate(h)
        return result


def test_every_layer_and_cell_is_replaced() -> None:
    model = NestedModel(nn).eval()
    scratch = from_torch(model)
    restored = to_torch(scratch)
    x = torch.randn(6, 2, 3)
    for converted, package in ((scratch, scratch_cells), (restored, nn)):
        torch.testing.assert_close(converted(x), model(x))
        assert isinstance(converted.encoder, package.LSTM)
        assert isinstance(converted.steps[0], package.RNNCell)
        assert isinstance(converted.output, package.LSTMCell)
        assert isinstance(converted.gate, package.GRUCell)
        assert converted.again is converted.inner[0]
        assert isinstance(converted.again, package.GRU)
        assert list(converted.state_dict()) == list(model.state_dict())
        assert not converted.training
        assert not converted.encoder.training
        frozen = [
            name for name, w in converted.state_dict(keep_vars=True).items() if not w.requires_grad
        ]
        assert frozen == ["encoder.weight_hh_l0"]
    assert isinstance(model.encoder, nn.LSTM)  # the given model does not change


@pytest.mark.slow
@given(configurations())
def test_a_converted_layer_equals_the_original(configuration: Configuration) -> None:
    theirs = configuration.build(nn)
    ours = from_torch(theirs)
    assert type(ours) is getattr(scratch_cells, configuration.kind)
    assert ours.extra_repr() == theirs.extra_repr()
    assert_same(ours, theirs, configuration, torch.float64)
    restored = to_torch(ours)
    assert type(restored) is type(theirs)
    assert_same(restored, theirs, configuration, torch.float64)


def test_builtin_layers_are_converted_like_torchs() -> None:
    assert type(from_torch(builtin_models.GRU(3, 4))) is scratch_cells.GRU


def test_tied_weights_stay_tied() -> None:
    model = nn.ModuleList([nn.GRU(3, 3), nn.GRU(3, 3)])
    model[1].weight_hh_l0 = model[0].weight_hh_l0
    converted = from_torch(model)
    assert converted[1].weight_hh_l0 is converted[0].weight_hh_l0
    assert converted[0].weight_hh_l0 is not model[0].weight_hh_l0


def test_conversion_leaves_the_random_state_and_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.GRU(3, 4, dropout=0.5)
    before = torch.get_rng_state()
    assert from_torch(model).dropout == 0.5
    assert torch.equal(before, torch.get_rng_state())


def test_a_subclass_with_its_own_forward_is_not_converted() -> None:
    class Residual(nn.GRU):
        def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
            output, state = super().forward(input, hx)
            return output + input, state

    assert type(from_torch(Residual(3, 3))) is Residual


def test_to_torch_raises_for_a_custom_cell() -> None:
    with pytest.raises(TypeError, match=r"torch\.nn has no counterpart of MinimalGated"):
        to_torch(nn.Sequential(layer_of(MinimalGatedCell)(3, 4)))
