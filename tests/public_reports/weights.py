"""Weights by name, replaced, normalized, shared and initialized."""

import copy
import io
from typing import Any

import torch
from accelerate import cpu_offload
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune

from tests.public_reports.helpers import DOUBLE, KINDS, close, gradient_of, reference
from tests.public_reports.report import not_supported, report


class Halve(nn.Module):
    """A parametrization."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / 2


def train(layer: nn.Module, x: torch.Tensor, steps: int = 2) -> None:
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(x)[0].pow(2).sum().backward()
        optimizer.step()


@report(
    "pytorch/pytorch#90500",
    "nn.LSTM not working together with functional_call for calculating the gradient",
)
def gradient_of_given_weights(layers: Any) -> None:
    """Pass weights to `functional_call` and compute the gradient with respect to them."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    x = torch.randn(5, 2, 3, **DOUBLE)
    given = {
        name: (2 * weight).detach().requires_grad_() for name, weight in layer.named_parameters()
    }
    loss = functional_call(layer, given, (x,))[0].sum()
    gradients = torch.autograd.grad(loss, list(given.values()))
    with torch.no_grad():
        for weight in layer.parameters():
            weight *= 2
    for gradient, expected in zip(
        gradients, gradient_of(layer, layer(x)[0].sum()).values(), strict=True
    ):
        close(gradient, expected)


@report("pytorch/pytorch#80454", "Functional version of torch.nn.LSTM -> torch.nn.functional.LSTM")
def functional_call_with_state_dict(layers: Any) -> None:
    """Pass `state_dict()` to `functional_call`."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    x = torch.randn(5, 2, 3, **DOUBLE)
    weights = {name: torch.zeros_like(weight) for name, weight in layer.state_dict().items()}
    close(functional_call(layer, layer.state_dict(), (x,))[0], layer(x)[0])
    assert functional_call(layer, weights, (x,))[0].count_nonzero() == 0, "weights not used"


@report("pytorch/pytorch#65688", "Parametrization silently disables RNN weight updates")
def parametrization(layers: Any) -> None:
    """Register a parametrization on `weight_hh_l0` and train: the weight must change the output."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    x = torch.randn(5, 2, 3, **DOUBLE)
    parametrize.register_parametrization(layer, "weight_hh_l0", Halve())
    before = layer.weight_hh_l0.detach().clone()
    train(layer, x)
    assert not torch.equal(layer.weight_hh_l0, before), "the weight is not trained"
    close(layer(x)[0], reference_of_parametrized(layer)(x)[0])


def reference_of_parametrized(layer: Any) -> nn.Module:
    """torch.nn's LSTM with the weights that the parametrizations give."""
    built = nn.LSTM(3, 4, **DOUBLE)
    with torch.no_grad():
        for name, weight in built.named_parameters():
            weight.copy_(getattr(layer, name))
    return built


@report("pytorch/pytorch#33618", "torch.nn.utils.prune.remove prevents future model training")
def prune_then_train(layers: Any) -> None:
    """Prune `weight_ih_l0`, make it permanent with `prune.remove`, and train."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    x = torch.randn(5, 2, 3, **DOUBLE)
    prune.random_unstructured(layer, "weight_ih_l0", amount=0.5)
    assert (layer.weight_ih_l0 == 0).sum() == 24, "half of the weights are 0"
    close(layer(x)[0], reference_of_parametrized(layer)(x)[0])
    prune.remove(layer, "weight_ih_l0")
    before = layer.weight_ih_l0.detach().clone()
    train(layer, x)
    assert not torch.equal(layer.weight_ih_l0, before), "the weight is not trained"
    close(layer(x)[0], reference(layer)(x)[0])


@report("pytorch/pytorch#86457", "`flatten_parameters()` does not work with normed LSTM")
def weight_norm_then_flatten(layers: Any) -> None:
    """Apply `weight_norm` to `weight_hh_l0`, call `flatten_parameters()` and train."""
    layer = parametrizations.weight_norm(layers.LSTM(3, 4, **DOUBLE), "weight_hh_l0")
    x = torch.randn(5, 2, 3, **DOUBLE)
    for _ in range(2):
        layer.flatten_parameters()
        before = layer.weight_hh_l0.detach().clone()
        train(layer, x, 1)
        assert not torch.equal(layer.weight_hh_l0, before), "the weight is not trained"
    close(layer(x)[0], reference_of_parametrized(layer)(x)[0])


@report("pytorch/pytorch#39311", "Use nn.spectral_norm in LSTM")
def spectral_norm(layers: Any) -> None:
    """Apply `spectral_norm` to both weights: their largest singular value is 1."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        parametrizations.spectral_norm(layer, name, n_power_iterations=100)
    for _ in range(5):
        layer(torch.randn(5, 2, 3, **DOUBLE))
    layer.eval()
    for name in ("weight_ih_l0", "weight_hh_l0"):
        norm = torch.linalg.matrix_norm(getattr(layer, name), ord=2)
        torch.testing.assert_close(norm, torch.ones_like(norm), rtol=1e-6, atol=0)
    x = torch.randn(5, 2, 3, **DOUBLE)
    close(layer(x)[0], reference_of_parametrized(layer)(x)[0])


@report(
    "pytorch/pytorch#28594",
    "[BUG] Can't Deepcopy module with weightnorm",
    torch_nn=not_supported("RuntimeError: Only Tensors created explicitly by the user"),
    scratch_cells=not_supported("RuntimeError: Only Tensors created explicitly by the user"),
)
def deepcopy_after_old_weight_norm(layers: Any) -> None:
    """Copy a layer with the deprecated `torch.nn.utils.weight_norm` by `copy.deepcopy`."""
    copy.deepcopy(nn.utils.weight_norm(layers.LSTM(3, 4), "weight_hh_l0"))


@report("pytorch/pytorch#102981", "weight_norm cannot be deepcopy")
def deepcopy_after_weight_norm(layers: Any) -> None:
    """Copy a layer with `torch.nn.utils.parametrizations.weight_norm` by `copy.deepcopy`."""
    layer = parametrizations.weight_norm(layers.LSTM(3, 4, **DOUBLE), "weight_hh_l0")
    x = torch.randn(5, 2, 3, **DOUBLE)
    copied = copy.deepcopy(layer)
    expected = layer(x)[0]
    close(copied(x)[0], expected)
    train(copied, x)
    close(layer(x)[0], expected)
    assert not torch.equal(copied(x)[0], expected), "the copy is not trained"


@report("pytorch/pytorch#3751", "cuDNN RNNs silently break weight tying in __init__")
def tied_biases(layers: Any) -> None:
    """Use one bias for both directions and train: it stays one parameter."""
    layer = layers.LSTM(1, 1, bidirectional=True, **DOUBLE)
    layer.bias_ih_l0_reverse = layer.bias_ih_l0
    x = torch.randn(3, 1, 1, **DOUBLE)
    train(layer, x)
    assert len(list(layer.parameters())) == 7, "the tied bias is one parameter"
    assert torch.equal(layer.bias_ih_l0, layer.bias_ih_l0_reverse), "the biases differ"
    close(layer(x)[0], reference(layer)(x)[0])


@report("pytorch/pytorch#15749", "Dynamic GRU weight")
def weight_as_plain_tensor(layers: Any) -> None:
    """Delete the parameter `weight_hh_l0` and assign a tensor that is computed from another one."""
    layer = layers.GRU(3, 4, **DOUBLE)
    factor = torch.tensor(0.5, requires_grad=True, **DOUBLE)
    weight = layer.weight_hh_l0.detach().clone()
    del layer.weight_hh_l0
    layer.weight_hh_l0 = factor * weight
    x = torch.randn(5, 2, 3, **DOUBLE)
    close(layer(x)[0], reference(layer)(x)[0])
    layer(x)[0].sum().backward()
    assert factor.grad is not None, "no gradient"


@report("pytorch/pytorch#750", "LSTM forget gate bias initialization")
def forget_gate_bias(layers: Any) -> None:
    """Fill the second quarter of `bias_ih_l0` with 100: c is kept, and 1 is added at each step."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.zero_()
            if "bias_ih" in name:
                weight[:4], weight[4:8], weight[8:12] = 100, 100, 100
    _, (_, c) = layer(torch.randn(5, 2, 3, **DOUBLE))
    close(c, torch.full_like(c, 5))


@report(
    "vwxyzjn/cleanrl#358",
    "LSTM weights should have separate orthogonal initializations for each gate",
)
def orthogonal_per_gate(layers: Any) -> None:
    """Initialize each gate of each weight whose name contains `weight_hh` as orthogonal."""
    layer = layers.LSTM(3, 4, 2, **DOUBLE)
    found = [weight for name, weight in layer.named_parameters() if "weight_hh" in name]
    assert len(found) == 2, "no weight has weight_hh in its name"
    for weight in found:
        for gate in weight.detach().split(4):
            nn.init.orthogonal_(gate)
    for gate in layer.weight_hh_l1.split(4):
        close(gate @ gate.T, torch.eye(4, **DOUBLE))


@report(
    "pytorch/pytorch#2794", "Feature request: Flatten parameters into a vector, and unflatten back."
)
def flat_vector(layers: Any) -> None:
    """Copy the weights of torch.nn's layers with `parameters_to_vector`, by their order."""
    for kind in KINDS:
        source = getattr(nn, kind)(3, 5, 2, bidirectional=True, **DOUBLE)
        target = getattr(layers, kind)(3, 5, 2, bidirectional=True, **DOUBLE)
        vector = nn.utils.parameters_to_vector(source.parameters())
        nn.utils.vector_to_parameters(vector, target.parameters())
        x = torch.randn(4, 2, 3, **DOUBLE)
        close(target(x)[0], source(x)[0])


@report(
    "pytorch/pytorch#59332",
    "torch.nn.LSTM does not document reverse weights for bidirectional LSTMs",
)
def names_of_reverse_weights(layers: Any) -> None:
    """Read the weights of the reverse direction by name, alone and in a model."""
    model = nn.Sequential(layers.LSTM(3, 4, bidirectional=True))
    names = [name for name, _ in model.named_parameters()]
    kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert names == [f"0.{kind}_l0{end}" for end in ("", "_reverse") for kind in kinds], names
    assert model[0].weight_ih_l0_reverse.shape == (16, 3)


@report(
    "pytorch/pytorch#36905",
    "What's the reason to split the bias in LSTM layer into two vectors?",
)
def two_biases(layers: Any) -> None:
    """Move the values of one bias into the other: same output, and equal gradients."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    x = torch.randn(5, 2, 3, **DOUBLE)
    expected = layer(x)[0]
    with torch.no_grad():
        layer.bias_ih_l0 += layer.bias_hh_l0
        layer.bias_hh_l0.zero_()
    close(layer(x)[0], expected)
    layer(x)[0].sum().backward()
    close(layer.bias_ih_l0.grad, layer.bias_hh_l0.grad)


@report("facebookresearch/SentEval#39", "problem with load_state_dict()")
def saved_weights(layers: Any) -> None:
    """Load weights of a model with torch.nn's LSTM that `torch.save` wrote, by their names."""
    saved = nn.ModuleDict({"enc_lstm": nn.LSTM(3, 4, bidirectional=True, **DOUBLE)})
    model = nn.ModuleDict({"enc_lstm": layers.LSTM(3, 4, bidirectional=True, **DOUBLE)})
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    model.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(5, 2, 3, **DOUBLE)
    close(model["enc_lstm"](x)[0], saved["enc_lstm"](x)[0])
    assert list(model.state_dict()) == list(saved.state_dict())


@report(
    "huggingface/accelerate#345",
    "Big model inference",
    scratch_cells=not_supported("KeyError: 'rnn.cells.0.input_to_hidden.weight'"),
)
def offloaded_weights(layers: Any) -> None:
    """Offload the weights with `accelerate.cpu_offload`; they are loaded for each call."""
    model = nn.ModuleDict({"rnn": layers.LSTM(3, 4, 2, **DOUBLE)})
    x = torch.randn(5, 2, 3, **DOUBLE)
    with torch.no_grad():
        expected = model["rnn"](x)[0]
        cpu_offload(model, torch.device("cpu"))
        close(model["rnn"](x)[0], expected)
    assert all(weight.is_meta for weight in model.parameters()), "the weights are not offloaded"
