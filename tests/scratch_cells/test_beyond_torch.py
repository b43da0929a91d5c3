"""Features of PyTorch that torch.nn's recurrent layers do not support and these layers do."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jvp, stack_module_state, vmap
from torch.nn.utils.rnn import pack_padded_sequence

import scratch_cells

KINDS = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def make(kind: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    layer: nn.Module = getattr(scratch_cells, kind)(3, 4, dtype=torch.float64, **options)
    return layer


@KINDS
def test_double_backward_equals_finite_differences(kind: str) -> None:
    """The gradient of a gradient penalty, compared with finite differences of the penalty."""
    layer = make(kind, num_layers=2)
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def penalty(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
        return slope.pow(2).sum()

    weight = layer.weight_hh_l0
    (exact,) = torch.autograd.grad(penalty(x), weight)
    with torch.no_grad():
        step = 1e-6
        weight[1, 2] += step
        above = penalty_value(penalty, x)
        weight[1, 2] -= 2 * step
        below = penalty_value(penalty, x)
        weight[1, 2] += step
    torch.testing.assert_close(exact[1, 2], (above - below) / (2 * step), rtol=1e-6, atol=1e-8)


def penalty_value(penalty: Any, x: Tensor) -> Tensor:
    with torch.enable_grad():
        value: Tensor = penalty(x).detach()
    return value


@KINDS
def test_forward_mode_equals_reverse_mode(kind: str) -> None:
    """jvp in float32, for which torch.nn.LSTM fails on the CPU, compared with reverse mode."""
    layer = make(kind, num_layers=2).float()
    x, direction = torch.randn(2, 5, 2, 3)
    _, forward = jvp(lambda x: layer(x)[0].sum(), (x,), (direction,))
    reverse = grad(lambda x: layer(x)[0].sum())(x)
    torch.testing.assert_close(forward, (reverse * direction).sum(), rtol=1e-4, atol=1e-4)


@KINDS
def test_hessian_is_symmetric_and_not_zero(kind: str) -> None:
    layer = make(kind)
    x = torch.randn(3, 1, 3, dtype=torch.float64)
    curvature = hessian(lambda x: layer(x)[0].pow(2).sum())(x).reshape(9, 9)
    torch.testing.assert_close(curvature, curvature.T, **EXACT)
    assert curvature.abs().max() > 0


@KINDS
def test_vmap_equals_a_loop_over_the_batch(kind: str) -> None:
    layer = make(kind, num_layers=2, bidirectional=True)
    x = torch.randn(6, 5, 3, dtype=torch.float64)
    one_by_one = torch.stack([layer(sample)[0] for sample in x])
    torch.testing.assert_close(vmap(lambda x: layer(x)[0])(x), one_by_one, **EXACT)


@KINDS
def test_vmap_over_models_equals_a_loop_over_them(kind: str) -> None:
    models = [getattr(scratch_cells, kind)(3, 4, 2, dtype=torch.float64) for _ in range(3)]
    parameters, buffers = stack_module_state(models)
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def call(parameters: Any, buffers: Any) -> Tensor:
        output: Tensor = functional_call(models[0], (parameters, buffers), (x,))[0]
        return output

    expected = torch.stack([model(x)[0] for model in models])
    torch.testing.assert_close(vmap(call)(parameters, buffers), expected, **EXACT)


@KINDS
def test_per_sample_gradients_equal_a_loop_over_samples(kind: str) -> None:
    layer = make(kind, num_layers=2)
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    parameters = {name: weight.detach() for name, weight in layer.named_parameters()}

    def loss(parameters: Any, sample: Tensor) -> Tensor:
        return functional_call(layer, parameters, (sample,))[0].pow(2).sum()

    together = vmap(grad(loss), in_dims=(None, 1))(parameters, x)
    for index in range(6):
        layer.zero_grad()
        layer(x[:, index])[0].pow(2).sum().backward()
        for name, weight in layer.named_parameters():
            torch.testing.assert_close(together[name][index], weight.grad, **EXACT)


@KINDS
def test_an_exported_layer_accepts_another_batch_size(kind: str) -> None:
    layer = make(kind, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},))
    x = torch.randn(7, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(exported.module()(x)[0], layer(x)[0], **EXACT)


@pytest.mark.slow
@KINDS
def test_compile_has_no_graph_break(kind: str) -> None:
    """Dynamo captures the whole layer in one graph, and its forward and backward run unchanged."""
    torch.compiler.reset()  # a code object is compiled at most eight times in a process
    layer = make(kind, num_layers=2, bidirectional=True)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    output, expected = compiled(x)[0], layer(x)[0]
    torch.testing.assert_close(output, expected, **EXACT)
    gradients = [torch.autograd.grad(each.pow(2).sum(), x)[0] for each in (output, expected)]
    torch.testing.assert_close(*gradients, **EXACT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch 2.11's
def test_the_default_compiler_gives_the_same_output() -> None:
    layer = make("LSTM").float()
    x = torch.randn(3, 2, 3)
    torch.testing.assert_close(torch.compile(layer)(x)[0], layer(x)[0])


@KINDS
def test_functional_call_uses_the_given_weights(kind: str) -> None:
    layer, other = make(kind), getattr(scratch_cells, kind)(3, 4, dtype=torch.float64)
    other.reset_parameters()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    output, _ = functional_call(layer, dict(other.named_parameters()), (x,))
    torch.testing.assert_close(output, other(x)[0], **EXACT)
    assert not torch.allclose(output, layer(x)[0])


@KINDS
def test_double_backward_supports_packed_sequences(kind: str) -> None:
    layer = make(kind, bidirectional=True)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, torch.tensor([2, 5]), enforce_sorted=False)
        output: Tensor = layer(packed)[0].data
        return output

    assert torch.autograd.gradgradcheck(call, (x,), fast_mode=True)


class PerSampleGradients:
    """Per-sample gradients from hooks on every nn.Linear, as opacus.GradSampleModule computes them.

    Dim 0 of the inputs and of the gradients of the outputs is taken for the batch. The gradients of
    all calls of one nn.Linear are added.
    """

    def __init__(self, module: nn.Module) -> None:
        self.of: dict[nn.Parameter, Tensor] = {}
        for linear in module.modules():
            if isinstance(linear, nn.Linear):
                linear.register_forward_hook(self.observe)

    def observe(self, linear: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        x = arguments[0].detach()
        output.register_hook(lambda d: self.accumulate(linear, x, d))

    def accumulate(self, linear: nn.Module, x: Tensor, d: Tensor) -> None:
        gradients = {
            linear.weight: torch.einsum("n...o,n...i->noi", d, x),
            linear.bias: torch.einsum("n...o->no", d),
        }
        for weight, gradient in gradients.items():
            self.of[weight] = self.of.get(weight, 0) + gradient


@pytest.mark.parametrize("time", [4, 6])
@pytest.mark.parametrize("batch_first", [False, True])
@KINDS
def test_hooks_on_the_linears_give_per_sample_gradients(
    kind: str, batch_first: bool, time: int
) -> None:
    """Also where a sequence has as many time steps as the batch has samples."""
    layer = make(kind, num_layers=2, bidirectional=True, batch_first=batch_first)
    samples = torch.randn(4, time, 3, dtype=torch.float64, requires_grad=True)
    expected = []
    for sample in samples:
        layer.zero_grad()
        layer(sample)[0].pow(2).sum().backward()
        expected.append([weight.grad.clone() for weight in layer.parameters()])
    hooks = PerSampleGradients(layer)
    layer(samples if batch_first else samples.transpose(0, 1))[0].pow(2).sum().backward()
    for weight, *gradients in zip(layer.parameters(), *expected, strict=True):
        torch.testing.assert_close(hooks.of[weight], torch.stack(gradients), **EXACT)
