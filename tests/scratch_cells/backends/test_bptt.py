"""The bptt and the c backend equal torch.nn and the reference loop.

What only the C backend has is in ``test_c_backend``, when a backend runs in ``test_eligibility``.
"""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

import scratch_cells
from scratch_cells.backends import KERNELS, c_call, cell_kernel, sequence_buffers
from scratch_cells.backends.eligibility import kind_of
from scratch_cells.backends.sequence_buffers import SequenceBuffers
from scratch_cells.backends.torch_backend import tanh
from scratch_cells.cell import parts
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw,
    each_backend,
    each_kind,
    layers_with,
    unroll_with,
)
from tests.helpers.oracles import assert_same
from tests.helpers.strategies import Configuration, configurations


@pytest.fixture
def one_step_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_buffers, "BLOCK_ELEMENTS", 1)
    monkeypatch.setattr(sequence_buffers, "BLOCK_ROWS", 1)


@pytest.fixture(params=[0, c_call.MAX_ELEMENTS], ids=["calls of blocks", "one call"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the C backend computes a sequence. The other one has one way."""
    monkeypatch.setattr(c_call, "MAX_ELEMENTS", request.param)


DRAWN = configurations()


@each_backend
@given(DRAWN)
def test_one_block_equals_torch_nn(backend: str, configuration: Configuration) -> None:
    ours, theirs = configuration.build(layers_with(backend)), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)


@each_backend
@given(configurations(dtype=torch.float32))
def test_one_block_equals_torch_nn_in_float32(backend: str, configuration: Configuration) -> None:
    ours, theirs = configuration.build(layers_with(backend)), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float32)


@each_backend
@pytest.mark.usefixtures("one_step_blocks", "way")
@given(DRAWN)
def test_blocks_of_one_step_equal_torch_nn(backend: str, configuration: Configuration) -> None:
    ours, theirs = configuration.build(layers_with(backend)), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)


@pytest.mark.parametrize("small_weight", [0, cell_kernel.SMALL_WEIGHT])
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
@pytest.mark.parametrize("reverse", [False, True])
@each_kind
@each_backend
@pytest.mark.usefixtures("way")
def test_values_and_gradients_equal_the_reference_loop(
    backend: str,
    kind: str,
    reverse: bool,
    steps: int,
    small_weight: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outputs, final state and all gradients, for blocks of any length."""
    monkeypatch.setattr(cell_kernel, "SMALL_WEIGHT", small_weight)
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    rows = cell.hidden_to_hidden.weight.size(0)
    monkeypatch.setattr(sequence_buffers, "BLOCK_ELEMENTS", steps * 2 * rows)
    monkeypatch.setattr(sequence_buffers, "BLOCK_ROWS", 1)
    leaves = [x, *parts(state), *cell.parameters()]
    seen = []
    for name in (backend, "plain"):
        output, final = unroll_with(name, cell, x, state, None, reverse)
        assert backend_of(output) == name
        weights = [torch.arange(1.0, 1 + part.numel()) for part in (output, *parts(final))]
        returned = (output, *parts(final))
        loss = sum(
            (part.flatten() * weight).sum() for part, weight in zip(returned, weights, strict=True)
        )
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        second = torch.autograd.grad(loss, leaves)  # backward does not change the saved buffers
        assert all(map(torch.equal, gradients, second))
        with torch.no_grad():
            without = unroll_with(name, cell, x, state, None, reverse)
        seen.append((*returned, *gradients, without[0], *parts(without[1])))
    for got, expected in zip(*seen, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12, check_stride=True)


@each_kind
@each_backend
def test_gradients_equal_finite_differences(backend: str, kind: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](2, 3, dtype=torch.float64)
    x, state = draw(cell, 4, 2)
    names, weights = zip(*cell.named_parameters(), strict=True)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            hx = state if len(state) > 1 else state[0]
            output, final = unroll_with(backend, self.cell, x, hx)
            assert backend_of(output) == backend
            return output, *parts(final)

    whole = Whole()

    def call(x: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        drawn = dict(zip((f"cell.{name}" for name in names), leaves, strict=False))
        given = leaves[len(names) :]
        result: tuple[Tensor, ...] = torch.func.functional_call(whole, drawn, (x, *given))
        return result

    assert gradcheck(call, (x, *weights, *parts(state)))
    assert gradgradcheck(call, (x, *weights, *parts(state)), fast_mode=True)


@each_kind
@each_backend
@given(needed=st.lists(st.booleans(), min_size=7, max_size=7), seed=st.integers(0, 99))
def test_frozen_leaves_and_unused_results_keep_the_other_gradients(
    backend: str, kind: str, needed: list[bool], seed: int
) -> None:
    torch.manual_seed(seed)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2, seed)
    leaves = [x, *cell.parameters(), *parts(state)]
    for leaf, need in zip(leaves, needed, strict=False):
        leaf.requires_grad_(need)
    differentiable = [leaf for leaf in leaves if leaf.requires_grad]
    seen = []
    for name in (backend, "plain"):
        output, final = unroll_with(name, cell, x, state)
        loss = output[seed % 5].sum() if seed % 2 else parts(final)[-1].sum()
        seen.append(
            torch.autograd.grad(loss, differentiable, allow_unused=True) if differentiable else ()
        )
    for got, expected in zip(*seen, strict=True):
        got = torch.zeros_like(expected) if got is None and expected is not None else got
        expected = torch.zeros_like(got) if expected is None and got is not None else expected
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@each_kind
@each_backend
def test_batched_gradients_equal_single_gradients(backend: str, kind: str) -> None:
    """is_grads_batched and a vectorized jacobian run vmap over the backward pass."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    output, _ = unroll_with(backend, cell, x, state)
    directions = torch.randn(6, *output.shape, dtype=torch.float64)
    leaves = [x, *cell.parameters()]
    together = torch.autograd.grad(
        output, leaves, directions, is_grads_batched=True, retain_graph=True
    )
    for index, direction in enumerate(directions):
        alone = torch.autograd.grad(output, leaves, direction, retain_graph=True)
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many[index], one, rtol=1e-11, atol=1e-12)


@each_backend
def test_tied_biases_have_first_and_second_derivatives(backend: str) -> None:
    torch.manual_seed(0)
    cell = scratch_cells.GRUCell(3, 4, dtype=torch.float64)
    cell.bias_hh = cell.bias_ih
    x, state = draw(cell, 5, 2)
    seen = []
    for name in (backend, "plain"):
        output, _ = unroll_with(name, cell, x, state)
        (first,) = torch.autograd.grad(output.pow(2).sum(), cell.bias_ih, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), cell.bias_ih)
        seen.append((first, second))
    torch.testing.assert_close(*seen, rtol=1e-11, atol=1e-12)


@each_kind
@each_backend
def test_outputs_changed_in_place_keep_the_gradients(backend: str, kind: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](4, 4)
    x, state = draw(cell, 5, 2)
    output, _ = unroll_with(backend, cell, x, state)
    expected = torch.autograd.grad(output.sum(), x)[0]
    expected[..., : cell.output_size] += 1
    output, final = unroll_with(backend, cell, x, state)
    output += x[..., : cell.output_size]
    parts(final)[0].mul_(2)
    torch.testing.assert_close(torch.autograd.grad(output.sum(), x)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numpy_tanh_equals_torch_tanh(dtype: torch.dtype) -> None:
    """Within two units in the last place, for small and large values; NaN stays NaN."""
    tiny, large = torch.logspace(-30, 0, 10_001, dtype=dtype), torch.linspace(1, 30, 10_001)
    positive = torch.cat([tiny, large.to(dtype), torch.tensor([0, torch.inf], dtype=dtype)])
    a = torch.stack([positive, -positive], dim=1)[:, :1]  # not contiguous
    got = tanh(a, out=torch.empty_like(a))
    torch.testing.assert_close(got, torch.tanh(a), rtol=2 * torch.finfo(dtype).eps, atol=0)
    assert torch.equal(tanh(-a, out=torch.empty_like(a)), -got)
    assert tanh(torch.full_like(a, torch.nan), out=torch.empty_like(a)).isnan().all()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
@each_kind
@each_backend
def test_small_states_have_the_same_relative_error_as_large_ones(
    backend: str, kind: str, scale: float
) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](8, 32, bias=False)
    x = torch.randn(28, 5, 8) * scale
    state = cell.zero_state(x[0])
    got, expected = (unroll_with(name, cell, x, state)[0] for name in (backend, "plain"))
    assert (got - expected).abs().max() <= 1e-6 * expected.abs().max()


@each_kind
def test_inference_and_rnns_allocate_no_buffers_that_nothing_reads(kind: str) -> None:
    """An RNN's gates are its states; without a backward pass one step of c is reused."""
    cell = CELLS[kind](3, 4)
    kernel_class = KERNELS["bptt", kind_of(cell)]
    layout = kernel_class.layout
    x = torch.zeros(10, 2, 3)
    state = parts(cell.zero_state(x[0]))
    for needs_backward, rows in ((True, 11), (False, 1)):
        buffers = SequenceBuffers.allocate(kernel_class, x, state, needs_backward, False)
        gates, states = buffers.gates.untyped_storage(), buffers.h.untyped_storage()
        assert (gates.data_ptr() == states.data_ptr()) == kind.startswith("RNN")
        if layout.has_cell_state:
            assert buffers.c.untyped_storage().nbytes() == rows * state[1].nbytes
            assert buffers.c.shape == (11, 2, 4)
        if layout.saves_extra:
            assert buffers.extra.untyped_storage().nbytes() == max(1, rows - 1) * state[-1].nbytes
        else:
            assert len(buffers.extra) == 0
