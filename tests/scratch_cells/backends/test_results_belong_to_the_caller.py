"""Outputs, states and gradients are ordinary tensors, as those of torch.nn at every size."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import scratch_cells
from scratch_cells.cell import parts
from tests.helpers.backends import CELLS, draw, each_backend, each_kind, unroll_with

SIZES = {
    "one step": (1, 1, 4),
    "small": (5, 2, 4),
    "large": (33, 64, 128),
    "one row": (520, 1, 512),
}
"""Time steps, batch and hidden size. From 1 MiB, as with the last two, outputs are pooled."""
each_size = pytest.mark.parametrize("size", SIZES)


def results(backend: str, kind: str, size: str, requires_grad: bool) -> tuple[Any, list[Tensor]]:
    """The input, and outputs and final state."""
    time, batch, hidden_size = SIZES[size]
    options = {"nonlinearity": "relu"} if "relu" in kind else {}
    layer = getattr(scratch_cells, kind.split()[0])(3, hidden_size, backend=backend, **options)
    x = torch.randn(time, batch, 3, requires_grad=True)
    with torch.set_grad_enabled(requires_grad):
        output, final = layer(x)
    return x, [output, *parts(final)]


def set_where_positive(tensor: Tensor) -> Tensor:
    tensor[tensor > 0] = 0
    return tensor


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu_": torch.relu_,
    "masked": set_where_positive,
    "copy_": lambda tensor: tensor.copy_(torch.ones(())),
    "add_ a tensor that requires grad": lambda t: t.add_(torch.ones(1, requires_grad=True)),
    "unsqueeze_": lambda tensor: tensor.unsqueeze_(0),
    "index_fill_": lambda t: t.index_fill_(-1, torch.tensor([0]), 2),
}


def changed_results(
    backend: str, kind: str, size: str, change: str, requires_grad: bool
) -> list[Tensor]:
    """The results after a change in place; in training also the gradient of their loss."""
    torch.manual_seed(0)
    x, returned = results(backend, kind, size, requires_grad)
    changed = [CHANGES[change](tensor) for tensor in returned]
    loss = sum((tensor * tensor).sum() for tensor in changed)
    gradient = torch.autograd.grad(loss, x, allow_unused=True) if requires_grad else ()
    return [*changed, *(g for g in gradient if g is not None)]


changed_by_loop = lru_cache(2)(partial(changed_results, "plain"))


@pytest.mark.slow
@each_backend  # first, so that consecutive tests need the same results of the reference loop
@each_size
@each_kind
@pytest.mark.parametrize("change", CHANGES)
def test_results_can_be_changed_in_place(change: str, backend: str, kind: str, size: str) -> None:
    """In training the gradient is that of the changed tensor."""
    for requires_grad in (True, False):
        got = changed_results(backend, kind, size, change, requires_grad)
        expected = changed_by_loop(kind, size, change, requires_grad)
        for ours, of_loop in zip(got, expected, strict=True):
            torch.testing.assert_close(ours, of_loop, rtol=1e-4, atol=1e-4)


@each_size
@each_kind
@each_backend
def test_results_are_no_views_and_can_be_resized(backend: str, kind: str, size: str) -> None:
    for requires_grad in (True, False):
        _, returned = results(backend, kind, size, requires_grad)
        for tensor in returned:
            expected = tensor.detach().clone()
            assert not tensor._is_view()
            tensor.detach_()
            tensor.resize_(len(expected) + 1, *expected.shape[1:])
            assert torch.equal(tensor[:-1], expected)
            tensor.untyped_storage().resize_(0)


@each_size
@each_kind
@each_backend
def test_no_two_results_or_gradients_share_memory(backend: str, kind: str, size: str) -> None:
    """A gradient scaled in place scales no other."""
    time, batch, hidden_size = SIZES[size]
    cell = CELLS[kind](3, hidden_size)
    x, state = draw(cell, time, batch)
    output, final = unroll_with(backend, cell, x, state)
    leaves = [x, *cell.parameters(), *parts(state)]
    gradients = torch.autograd.grad(output.sum() + parts(final)[-1].sum(), leaves)
    tensors = [output, *parts(final), *gradients, *leaves]
    places = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    assert len(set(places)) == len(places)
    for gradient in gradients:
        expected = gradient.clone()
        assert not gradient._is_view()
        gradient.resize_(len(gradient) + 1, *gradient.shape[1:])
        assert torch.equal(gradient[: len(expected)], expected)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("time", [31, 33])
def test_a_layer_is_followed_by_operations_in_place(kind: str, time: int) -> None:
    """Below and above the size from which memory is pooled."""
    layer = getattr(scratch_cells, kind)(16, 128, num_layers=2)
    x = torch.randn(time, 64, 16)
    output, final = layer(x)
    nn.ReLU(inplace=True)(output).sum().backward()
    with torch.no_grad():
        output, final = layer(x)
    output += torch.ones(128, requires_grad=True)
    for part in parts(final):
        part.zero_()
