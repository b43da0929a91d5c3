"""What happens between the forward and the backward pass changes no gradient of the loop.

Weights may be exchanged or converted, biases updated, methods patched: the gradient is that of the
forward pass that ran, or the exception is that of the reference loop.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import scratch_cells
from scratch_cells.cell import Cell, parts
from tests.helpers.backends import CELLS, backend_of, draw, each_backend, each_kind, unroll_with

Change = Callable[[Cell, Tensor, Any], Any]


def exchange_weights(cell: Cell, x: Tensor, state: Any) -> None:
    for parameter in cell.parameters():
        parameter.data = torch.zeros_like(parameter)


def exchange_input(cell: Cell, x: Tensor, state: Any) -> None:
    x.data = torch.zeros_like(x)


def update_biases(cell: Cell, x: Tensor, state: Any) -> None:
    with torch.no_grad():
        cell.hidden_to_hidden.bias.add_(1)
        cell.input_to_hidden.bias.zero_()


def hook(cell: Cell, x: Tensor, state: Any) -> None:
    cell.hidden_to_hidden.register_forward_hook(lambda module, input, output: 2 * output)


def patch(cell: Cell, x: Tensor, state: Any) -> None:
    update = cell.update
    cell.update = lambda *a: update(*a) if isinstance(a[1], tuple) else 2 * update(*a)


CHANGES: dict[str, Change] = {
    "weights exchanged": exchange_weights,
    "input exchanged": exchange_input,
    "converted to float32": lambda cell, x, state: cell.float(),
    "converted to float16": lambda cell, x, state: cell.half(),
    "moved": lambda cell, x, state: cell.to("meta"),
    "biases updated": update_biases,
    "hooked": hook,
    "patched": patch,
    "another nonlinearity": lambda cell, x, state: setattr(cell, "nonlinearity", "sigmoid"),
}


@each_kind
@each_backend
@pytest.mark.parametrize("second_order", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_gradients_are_those_of_the_forward_pass(
    change: str, second_order: bool, backend: str, kind: str
) -> None:
    if second_order and change == "moved":
        pytest.skip("autograd itself validates the second gradient against the new weight")
    seen = []
    for name in (backend, "plain"):
        torch.manual_seed(0)
        cell = CELLS[kind](3, 4, dtype=torch.float64)
        x, state = draw(cell, 5, 2)
        leaves = [x, *parts(state), *cell.parameters()]
        output, _ = unroll_with(name, cell, x, state)
        assert backend_of(output) == name
        CHANGES[change](cell, x, state)
        if second_order:
            (first,) = torch.autograd.grad(output.sum(), x, create_graph=True)
            first.pow(2).sum().backward()
        else:
            output.sum().backward()
        got = [leaf.grad for leaf in leaves if leaf.grad is not None]
        seen.append(got)
    for got, expected in zip(*seen, strict=True):
        # The second gradient with respect to a converted parameter has the new dtype.
        tolerance = {"converted to float32": 1e-6, "converted to float16": 2e-3}.get(change, 1e-12)
        tolerance = tolerance if second_order else 1e-12
        torch.testing.assert_close(
            got, expected, rtol=tolerance, atol=tolerance, check_dtype=not second_order
        )


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("convert", [nn.Module.double, nn.Module.half, nn.Module.bfloat16])
def test_a_converted_layer_computes_the_gradient_of_the_loop(kind: str, convert: Any) -> None:
    """Two layers: the second reads outputs that are no leaves."""
    x = torch.randn(6, 2, 3)
    seen = []
    for backend in ("auto", "plain"):
        torch.manual_seed(0)
        layer = getattr(scratch_cells, kind)(3, 5, 2, bidirectional=True, backend=backend)
        loss = layer(x)[0].sum()
        convert(layer)
        loss.backward()
        seen.append([parameter.grad for parameter in layer.parameters()])
    for got, expected in zip(*seen, strict=True):
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


IN_PLACE = {
    "input": lambda cell, x, state: x.detach().add_(1),
    "W_ih": lambda cell, x, state: cell.input_to_hidden.weight.detach().add_(1),
    "W_hh": lambda cell, x, state: cell.hidden_to_hidden.weight.detach().add_(1),
    "state": lambda cell, x, state: parts(state)[0].detach().add_(1),
}


@each_kind
@each_backend
@pytest.mark.parametrize("tensor", IN_PLACE)
def test_a_tensor_that_is_changed_in_place_raises_as_in_the_loop(
    tensor: str, backend: str, kind: str
) -> None:
    for name in (backend, "plain"):
        cell = CELLS[kind](3, 4)
        x, state = draw(cell, 5, 2)
        output, _ = unroll_with(name, cell, x, state)
        IN_PLACE[tensor](cell, x, state)
        message = "one of the variables needed for gradient computation has been modified"
        with pytest.raises(RuntimeError, match=re.escape(message)):
            output.sum().backward()


@each_kind
@each_backend
def test_a_second_gradient_under_autocast_equals_that_of_the_loop(backend: str, kind: str) -> None:
    """The repeated forward pass is not computed in bfloat16."""
    seen = []
    for name in (backend, "plain"):
        torch.manual_seed(0)
        cell = CELLS[kind](3, 4)
        x, state = draw(cell, 5, 2)
        output, _ = unroll_with(name, cell, x, state)
        with torch.autocast("cpu", torch.bfloat16):
            seen.append(torch.autograd.grad(output.sum(), x, create_graph=True)[0])
    torch.testing.assert_close(*seen, rtol=1e-5, atol=1e-6)


@each_kind
@each_backend
def test_a_backward_pass_under_autocast_keeps_the_precision_of_the_forward_pass(
    backend: str, kind: str
) -> None:
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 5, 2)
    output, _ = unroll_with(backend, cell, x, state)
    (expected,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (got,) = torch.autograd.grad(output.sum(), x)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
