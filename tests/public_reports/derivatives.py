"""Derivatives and function transforms."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vmap

from tests.public_reports.helpers import DOUBLE, close, gradient_of
from tests.public_reports.report import WRONG, not_supported, report


@report(
    "pytorch/pytorch#105982",
    "vmap and rnn/lstm",
    torch_nn=not_supported("RuntimeError: Batching rule not implemented for aten::lstm.input"),
)
def ensemble(layers: Any) -> None:
    """Call several LSTMs together with `stack_module_state`, `functional_call` and `vmap`."""
    models = [layers.LSTM(3, 4, batch_first=True, **DOUBLE) for _ in range(3)]
    parameters, buffers = stack_module_state(models)
    x = torch.randn(2, 5, 3, **DOUBLE)

    def call(parameters: Any, buffers: Any) -> Any:
        return functional_call(models[0], (parameters, buffers), (x,))[0]

    close(vmap(call)(parameters, buffers), torch.stack([model(x)[0] for model in models]))


@report(
    "pytorch/pytorch#134606",
    "VMAP over GRU: Batching rule not implemented for aten::gru.input",
    torch_nn=not_supported("RuntimeError: Batching rule not implemented for aten::gru.input"),
)
def vmap_of_gru(layers: Any) -> None:
    """`vmap` a GRU over unbatched sequences, with an initial state."""
    layer = layers.GRU(3, 4, **DOUBLE)
    x, h = torch.randn(6, 5, 3, **DOUBLE), torch.randn(6, 1, 4, **DOUBLE)
    one_by_one = [layer(*each)[0] for each in zip(x, h, strict=True)]
    close(vmap(lambda x, h: layer(x, h)[0])(x, h), torch.stack(one_by_one))


@report(
    "pytorch/functorch#1089",
    "vmap + GRU",
    torch_nn=not_supported("RuntimeError: output with shape [1, 4] doesn't match"),
)
def per_sample_gradients(layers: Any) -> None:
    """Compute the gradients of a GRU for each sample of a batch with `vmap(grad(...))`."""
    layer = layers.GRU(3, 4, **DOUBLE)
    x = torch.randn(5, 6, 3, **DOUBLE)
    parameters = {name: weight.detach() for name, weight in layer.named_parameters()}

    def loss(parameters: Any, sample: Tensor) -> Any:
        return functional_call(layer, parameters, (sample,))[0].pow(2).sum()

    together = vmap(grad(loss), in_dims=(None, 1))(parameters, x)
    for index in range(6):
        layer.zero_grad()
        layer(x[:, index])[0].pow(2).sum().backward()
        for name, weight in layer.named_parameters():
            close(together[name][index], weight.grad)


@report(
    "pytorch/pytorch#105311",
    "Batching rule not implemented for aten::unsafe_chunk",
    torch_nn=not_supported("RuntimeError: output with shape [1, 16] doesn't match"),
)
def batch_of_jacobians(layers: Any) -> None:
    """Compute the Jacobian of a two-layer LSTM for each sequence with `vmap(jacrev(...))`."""
    layer = layers.LSTM(3, 4, 2, **DOUBLE)
    x = torch.randn(2, 5, 3, **DOUBLE)
    together = vmap(jacrev(lambda x: layer(x)[0]))(x)
    for jacobian, sample in zip(together, x, strict=True):
        close(jacobian, torch.autograd.functional.jacobian(lambda x: layer(x)[0], sample))


@report("pytorch/pytorch#103161", "Calling jacrev with LSTM and functional_call gives error")
def jacobian_of_weights(layers: Any) -> None:
    """Compute the Jacobian of an LSTM with respect to its weights."""
    layer = layers.LSTM(3, 2, **DOUBLE)
    x = torch.randn(4, 1, 3, **DOUBLE)
    jacobians = jacrev(lambda weights: functional_call(layer, weights, (x,))[0].sum((0, 1)))(
        dict(layer.named_parameters())
    )
    for unit in range(2):
        for name, gradient in gradient_of(layer, layer(x)[0][..., unit].sum()).items():
            close(jacobians[name][unit], gradient)


@report(
    "pytorch/pytorch#10223",
    "[feature request] Forward-mode automatic differentiation",
    torch_nn=not_supported("NotImplementedError: Trying to use forward AD with mkldnn_rnn_layer"),
)
def forward_mode(layers: Any) -> None:
    """Compute `jvp` of a float32 LSTM on the CPU."""
    layer = layers.LSTM(3, 4)
    x, direction = torch.randn(2, 5, 2, 3)
    _, forward = jvp(lambda x: layer(x)[0].sum(), (x,), (direction,))
    reverse = grad(lambda x: layer(x)[0].sum())(x)
    torch.testing.assert_close(forward, (reverse * direction).sum(), rtol=1e-4, atol=1e-5)


@report(
    "pytorch/pytorch#100627",
    "Add differentiable mkldnn_rnn_layer_backward to support double backward of LSTM",
)
def double_backward(layers: Any) -> None:
    """Compute the gradient of a gradient penalty of a float32 LSTM on the CPU."""
    penalties = []
    single = layers.LSTM(3, 4)
    double = layers.LSTM(3, 4, **DOUBLE)
    double.load_state_dict(single.state_dict())
    values = torch.randn(5, 2, 3)
    for layer, x in ((single, values.clone()), (double, values.double())):
        x.requires_grad_()
        (slope,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
        penalties.append(gradient_of(layer, slope.pow(2).sum())["weight_hh_l0"])
    torch.testing.assert_close(penalties[0].double(), penalties[1], rtol=1e-3, atol=1e-5)


@report("pytorch/pytorch#9229", "fused LSTM op doesn't support double backward")
def double_backward_of_a_cell(layers: Any) -> None:
    """Check the second derivatives of an LSTMCell against finite differences."""
    cell = layers.LSTMCell(3, 4, **DOUBLE)
    arguments = [torch.randn(2, size, requires_grad=True, **DOUBLE) for size in (3, 4, 4)]
    assert torch.autograd.gradgradcheck(lambda x, h, c: cell(x, (h, c)), arguments)


@report(
    "pytorch/pytorch#70342",
    "Empty or NaN data pollute gradient even if they are not involved during backward",
    torch_nn=WRONG,
    scratch_cells=WRONG,
)
def nan_outside_of_the_loss(layers: Any) -> None:
    """Leave a sequence of NaN out of the loss; the gradients are NaN, as 0 · NaN is."""
    layer = layers.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    x[:, 1] = float("nan")
    gradients = gradient_of(layer, layer(x)[0][:, 0].sum())
    assert all(gradient.isfinite().all() for gradient in gradients.values()), "NaN in a gradient"
