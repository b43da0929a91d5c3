"""Converting the recurrent layers inside a model keeps its weights and its outputs."""

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import register_parametrization

import builtin_models
import scratch_cells
from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells import Cell, from_torch, layer_of, to_torch
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


# --- what the user has added to a layer -------------------------------------------------------


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight * 2


def double_the_input(module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (arguments[0] * 2, *arguments[1:])


def add_to_the_output(module: nn.Module, arguments: Any, keywords: Any, result: Any) -> Any:
    return (result[0] + 1, *result[1:]) if isinstance(result, tuple) else result + 1


def halve_the_gradients(module: nn.Module, d_input: Any, d_output: Any) -> Any:
    return tuple(None if d is None else d / 2 for d in d_input)


def rename_when_loading(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any
) -> None:
    assert isinstance(module, nn.Module)
    for name in [name for name in state_dict if name.startswith(f"{prefix}old_")]:
        state_dict[name.replace("old_", "")] = state_dict.pop(name)


ADDITIONS: dict[str, Any] = {
    "pre-hook": lambda m, name: m.register_forward_pre_hook(double_the_input),
    "hook": lambda m, name: m.register_forward_hook(add_to_the_output, with_kwargs=True),
    "backward hook": lambda m, name: m.register_full_backward_hook(halve_the_gradients),
    "loading hook": lambda m, name: m.register_load_state_dict_pre_hook(rename_when_loading),
    "buffer": lambda m, name: m.register_buffer("mean", torch.ones(2)),
    "temporary buffer": lambda m, name: m.register_buffer("mean", torch.ones(2), persistent=False),
    "parameter": lambda m, name: m.register_parameter("extra", nn.Parameter(torch.ones(2))),
    "module": lambda m, name: m.register_module("probe", nn.Linear(2, 2)),
    "attribute": lambda m, name: setattr(m, "tag", "encoder"),
    "parametrization": lambda m, name: register_parametrization(m, name, Half()),
    "weight_norm": lambda m, name: parametrizations.weight_norm(m, name),
    "pruning": lambda m, name: prune.l1_unstructured(m, name, 0.3),
    "frozen": lambda m, name: getattr(m, name).requires_grad_(False),
}


def result_of(module: nn.Module) -> tuple[Tensor, Tensor]:
    """The output and the gradient of the input."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 2, 3, generator=generator)
    x = (x[0] if isinstance(module[0], nn.RNNCellBase | Cell) else x).requires_grad_()
    result = module(x)
    output = result[0] if isinstance(result, tuple) else result
    output.pow(2).sum().backward()
    assert x.grad is not None
    return output, x.grad


def assert_same_module(converted: nn.Module, expected: nn.Module, addition: str) -> None:
    for got, wanted in zip(result_of(converted), result_of(expected), strict=True):
        torch.testing.assert_close(got, wanted, msg=addition)
    names = [
        [(name, weight.requires_grad) for name, weight in module.named_parameters()]
        for module in (converted, expected)
    ]
    assert names[0] == names[1]
    assert list(converted.state_dict()) == list(expected.state_dict())
    assert dict(converted.named_buffers()).keys() == dict(expected.named_buffers()).keys()
    assert getattr(converted[0], "tag", None) == getattr(expected[0], "tag", None)
    state = {name.replace("0.", "0.old_", 1): w for name, w in expected.state_dict().items()}
    if addition == "loading hook":
        converted.load_state_dict(state)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("addition", ADDITIONS)
def test_a_conversion_keeps_what_was_added_to_a_layer(kind: str, addition: str) -> None:
    model = nn.Sequential(getattr(nn, kind)(3, 4))
    ADDITIONS[addition](model[0], "weight_hh" if "Cell" in kind else "weight_hh_l0")
    converted = from_torch(model)
    assert isinstance(converted[0], getattr(scratch_cells, kind))
    assert_same_module(converted, model, addition)
    restored = to_torch(converted)
    assert isinstance(restored[0], getattr(nn, kind))
    assert_same_module(restored, model, addition)


def test_a_conversion_keeps_the_mode_of_every_module() -> None:
    model = nn.ModuleList([nn.GRU(3, 4).eval(), nn.LSTM(3, 4)])
    for converted in (from_torch(model), to_torch(from_torch(model))):
        assert [module.training for module in converted] == [False, True]


def test_a_replaced_forward_cannot_be_converted() -> None:
    layer = nn.GRU(3, 4)
    layer.forward = lambda x: x
    with pytest.raises(TypeError, match="cannot convert GRU: its forward was replaced"):
        from_torch(layer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cell: cell.register_forward_hook(print), r"cells\.0 has hooks or"),
        (
            lambda cell: cell.hidden_to_hidden.register_forward_pre_hook(print),
            r"cells\.0\.hidden_to_hidden has hooks or",
        ),
        (
            lambda cell: prune.random_unstructured(cell.input_to_hidden, "weight", 0.2),
            r"cells\.0\.input_to_hidden has hooks or",
        ),
        (
            lambda cell: parametrizations.weight_norm(cell.hidden_to_hidden),
            r"cells\.0\.hidden_to_hidden is a ParametrizedLinear",
        ),
        (
            lambda cell: setattr(cell, "hidden_to_hidden", nn.Sequential(cell.hidden_to_hidden)),
            r"cells\.0\.hidden_to_hidden is a Sequential",
        ),
    ],
)
def test_to_torch_raises_for_what_torch_has_no_place_for(change: Any, message: str) -> None:
    layer = scratch_cells.GRU(3, 4)
    change(layer.cells[0])
    with pytest.raises(TypeError, match=message):
        to_torch(layer)
