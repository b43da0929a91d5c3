"""The C backend: every size, any number of threads, and the accuracy of σ and tanh.

How the library is compiled and loaded is in ``test_c_compiler``.
"""

import copy
import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import scratch_cells
from scratch_cells.backends import KERNELS, c_backend, c_call, c_compiler, sequence_buffers
from scratch_cells.backends.c_compiler import load_library
from scratch_cells.backends.cell_kernel import Block, CellKernel
from scratch_cells.backends.eligibility import kind_of, operands_of
from scratch_cells.backends.sequence_buffers import SequenceBuffers
from scratch_cells.cell import parts, whole
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw,
    each_kind,
    layers_with,
    needs_c,
    unroll_with,
)
from tests.helpers.oracles import assert_same
from tests.helpers.strategies import Configuration, configurations

pytestmark = needs_c


@pytest.fixture
def always_parallel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(c_backend, "MIN_PARALLEL_MULTIPLY_ADDS", 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["rows", "units"])
def shared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What threads share."""
    shares_units = request.param == "units"
    monkeypatch.setattr(c_backend, "shares_units", lambda *sizes: shares_units)


@pytest.fixture
def avx2_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile as for a processor whose vectors have 256 bits."""
    monkeypatch.setattr(c_compiler, "OPTIONS", (*c_compiler.OPTIONS, "-mno-avx512f"))
    load_library.cache_clear()
    yield
    load_library.cache_clear()


def one_block(kind: str, x: Tensor, size: int) -> tuple[CellKernel, Block]:
    """A kernel with random weights, and a block whose initial state is zero."""
    cell = CELLS[kind](x.size(2), size, dtype=x.dtype).requires_grad_(False)
    state = parts(cell.zero_state(x[0]))
    _, *weights = operands_of(cell, x, whole(state))
    w_hr = weights[-1] if kind == "LSTM projected" else None
    kernel = KERNELS["c", kind_of(cell)](*weights[:4], len(x), w_hr=w_hr)
    buffers = SequenceBuffers.allocate(type(kernel), x, state, needs_backward=True, reverse=False)
    buffers.set_initial_state(state)
    ((_, block),) = buffers.blocks()
    return kernel, block


# --- equal to the reference loop and to torch.nn ------------------------------------------------


def compare_with_the_reference_loop(
    kind: str, time: int, batch: int, size: int, dtype: torch.dtype = torch.float64
) -> None:
    """Compare outputs, final state and every gradient."""
    cell = CELLS[kind](3, size, dtype=dtype)
    x, state = draw(cell, time, batch)
    reverse = size % 2 == 1
    seen = []
    for backend in ("c", "plain"):
        output, final = unroll_with(backend, cell, x, state, reverse=reverse)
        assert backend_of(output) == backend
        returned = (output, *parts(final))
        loss = sum(
            (part * torch.linspace(-1, 1, part.numel()).view(part.shape)).sum() for part in returned
        )
        seen.append((*returned, *torch.autograd.grad(loss, [x, *parts(state), *cell.parameters()])))
    for got, expected in zip(*seen, strict=True):
        bound = 1e-12 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(got, expected, rtol=0, atol=bound)
    with torch.no_grad():
        output, final = unroll_with("c", cell, x, state, reverse=reverse)
    for got, expected in zip((output, *parts(final)), seen[0], strict=False):
        bound = 1e-12 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(got, expected, rtol=0, atol=bound)


SIZES = st.one_of(st.integers(1, 70), st.sampled_from([127, 128, 129, 130]))
BATCHES = st.integers(1, 40)


@each_kind
@pytest.mark.usefixtures("always_parallel", "shared")
@given(
    time=st.integers(1, 4),
    batch=BATCHES,
    size=SIZES,
    threads=st.integers(1, 5),
    one_call=st.booleans(),
    block_rows=st.sampled_from([1, 50, 1024]),
    in_steps=st.booleans(),
)
def test_every_size_and_thread_count_equals_the_reference_loop(
    kind: str,
    time: int,
    batch: int,
    size: int,
    threads: int,
    one_call: bool,
    block_rows: int,
    in_steps: bool,
) -> None:
    """Threads share the rows, rows are split into tiles, units into panels: none is missed.

    W_ih x is computed in each step, or before the first one.
    """
    torch.set_num_threads(threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_buffers, "BLOCK_ELEMENTS", 1)
        patch.setattr(sequence_buffers, "BLOCK_ROWS", block_rows)
        patch.setattr(c_call, "MAX_ELEMENTS", 10**6 if one_call else 0)
        patch.setattr(c_backend, "MAX_BYTES_IN_STEPS", 2**23 if in_steps else 0)
        compare_with_the_reference_loop(kind, time, batch, size)


@each_kind
@pytest.mark.usefixtures("always_parallel", "avx2_only")
@given(time=st.integers(1, 4), batch=BATCHES, size=SIZES)
@settings(max_examples=settings().max_examples // 3)
def test_every_size_equals_the_reference_loop_with_avx2_only(
    kind: str, time: int, batch: int, size: int
) -> None:
    torch.set_num_threads(2)
    compare_with_the_reference_loop(kind, time, batch, size)


@pytest.mark.usefixtures("avx2_only")
@given(configurations(dtype=torch.float32))
@settings(max_examples=settings().max_examples // 3)
def test_avx2_only_equals_torch_nn_in_float32(configuration: Configuration) -> None:
    ours, theirs = configuration.build(layers_with("c")), configuration.build(torch.nn)
    assert_same(ours, theirs, configuration, torch.float32)


@each_kind
@pytest.mark.usefixtures("always_parallel", "shared")
def test_results_are_bit_exact_for_any_number_of_threads(kind: str) -> None:
    """Each element is accumulated in the same order, whichever thread computes it."""
    seen = []
    for threads in (1, 2, 3, 4, 16, 32, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        kernel, block = one_block(kind, torch.randn(7, 23, 3), 40)
        kernel.forward(block)
        outputs = block.h_after.shape
        d_state = [torch.randn(outputs[1:])]
        d_state += [torch.randn(23, 40)] if kind.startswith("LSTM") else []
        d = torch.empty(7, 23, kernel.layout.gradient_count * 40)
        d_input, d_w_ih, d_w_hh = map(torch.zeros_like, (block.input, kernel.w_ih, kernel.w_hh))
        block = dataclasses.replace(block, d_input=d_input)
        kernel.backward(block, torch.randn(outputs), d_state, d)
        kernel.add_to_weights(block, d, d_w_ih, d_w_hh)
        gradients = [d, *d_state, d_input, d_w_ih, d_w_hh]
        gradients += [kernel.d_w_hr] if kernel.w_hr is not None else []
        seen.append([block.gates, block.h_after, *gradients])
    for other in seen[1:]:
        assert all(map(torch.equal, seen[0], other))


@each_kind
@pytest.mark.parametrize("layout", ["expanded", "batch first", "every other", "none"])
def test_output_gradients_of_any_layout_are_supported(kind: str, layout: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](3, 20, dtype=torch.float64)
    x, state = draw(cell, 6, 5)
    size = cell.output_size
    d = {
        "expanded": torch.randn(6, 1, 1, dtype=torch.float64).expand(6, 5, size),
        "batch first": torch.randn(5, 6, size, dtype=torch.float64).transpose(0, 1),
        "every other": torch.randn(6, 5, 2 * size, dtype=torch.float64)[..., ::2],
        "none": None,
    }[layout]
    seen = []
    for backend in ("c", "plain"):
        output, final = unroll_with(backend, cell, x, state)
        last = parts(final)[-1]
        d_last = torch.linspace(-1, 1, 100, dtype=torch.float64).view(20, 5).t()
        results, d_results = ([last], [d_last]) if d is None else ([output, last], [d, d_last])
        seen.append(torch.autograd.grad(results, [x, *cell.parameters(), *parts(state)], d_results))
    for got, expected in zip(*seen, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@each_kind
def test_nan_and_infinity_stay_in_their_batch_row(kind: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](3, 20)
    x, state = draw(cell, 4, 8)
    with torch.no_grad():
        expected, _ = unroll_with("c", cell, x, state)
        x[1, 2, 0], x[2, 5, 1] = torch.nan, torch.inf
        got, _ = unroll_with("c", cell, x, state)
        plain, _ = unroll_with("plain", cell, x, state)
    others = [row for row in range(8) if row not in (2, 5)]
    assert torch.equal(got[:, others], expected[:, others])
    assert got[1:, 2].isnan().all()
    torch.testing.assert_close(got, plain, rtol=1e-5, atol=1e-6, equal_nan=True)


# --- σ and tanh -----------------------------------------------------------------------------------


def activated(kind: str, a: Tensor) -> Tensor:
    """The first gate of a cell for the pre-activations ``a``, (n,)."""
    kernel, block = one_block(kind, a.view(1, -1, 1), 1)
    kernel.w_ih.fill_(1)
    kernel.projection_bias.zero_()
    kernel.forward(block)
    return block.gates[0, :, 0]


def spread(dtype: torch.dtype) -> Tensor:
    """Small and large values of both signs, zero and the infinities."""
    tiny, large = torch.logspace(-30, 0, 10_001, dtype=dtype), torch.linspace(1, 80, 100_001)
    positive = torch.cat([tiny, large.to(dtype), torch.tensor([0, 1e4, torch.inf], dtype=dtype)])
    return torch.cat([positive, -positive])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_is_accurate_to_four_units_in_the_last_place(dtype: torch.dtype) -> None:
    """For small values too. In float32 the exact value is computed in float64."""
    a = spread(dtype)
    got = activated("RNN", a)
    expected = torch.tanh(a.double()).to(dtype)
    torch.testing.assert_close(got, expected, rtol=4 * torch.finfo(dtype).eps, atol=0)
    assert torch.equal(got[: len(a) // 2], -got[len(a) // 2 :])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sigmoid_is_accurate_to_four_units_in_the_last_place(dtype: torch.dtype) -> None:
    """As long as exp(a) is a normal number; below that, within twice the smallest one."""
    a = spread(dtype)
    got, expected = activated("LSTM", a), torch.sigmoid(a.double()).to(dtype)
    tiny = torch.finfo(dtype).tiny
    torch.testing.assert_close(got, expected, rtol=4 * torch.finfo(dtype).eps, atol=2 * tiny)
    assert ((got >= 0) & (got <= 1)).all()


def test_nan_stays_nan() -> None:
    a = torch.full((40,), torch.nan)
    for kind in CELLS:
        assert activated(kind, a).isnan().all()


@each_kind
def test_the_gradients_of_weights_are_accurate_for_many_rows(kind: str) -> None:
    """Each is a sum over 78,400 rows. Added one after the other, it would be off by 5e-6."""
    torch.manual_seed(0)
    cell, x = CELLS[kind](3, 16), torch.randn(784, 100, 3)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        cell = copy.deepcopy(cell).to(dtype)
        output, _ = unroll_with("c", cell, x.to(dtype), cell.zero_state(x[0].to(dtype)))
        gradients.append(torch.autograd.grad(output.square().mean(), list(cell.parameters())))
    for got, expected in zip(*gradients, strict=True):
        bound = 1e-6 * expected.abs().max().item()
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=bound)


# --- where it is not selected ---------------------------------------------------------------------


def test_large_weights_need_enough_rows() -> None:
    """The rows of all steps, unless there is one step, which reads the weights in place."""
    assert c_backend.CORE_CACHE_ELEMENTS < 512 * 512 + 512 * 3
    enough = c_backend.MIN_ROWS_OF_LARGE_WEIGHTS
    layer, x = scratch_cells.RNN(3, 512), torch.zeros(2, enough // 2, 3)
    few = x[:, 1:]
    assert layer.backend_for(x).name == "c"
    assert layer.backend_for(few[:1]).name == "c"
    assert layer.backend_for(few).name == "bptt"
    assert "too large for the C backend to be faster" in layer.backend_for(few).reason
    assert scratch_cells.RNN(3, 500).backend_for(x[:, :1]).name == "c"
    output, _ = layer(few)
    assert backend_of(output) == "bptt"
    layer.backend = "c"  # a backend that is requested runs even where it is slower
    output, _ = layer(few)
    assert backend_of(output) == "c"


@each_kind
def test_lazily_negated_gradients_are_negated(kind: str) -> None:
    """The elements of such a tensor are in memory with the opposite sign."""
    cell = CELLS[kind](3, 20, dtype=torch.float64)
    x, state = draw(cell, 6, 5)
    output, _ = unroll_with("c", cell, x, state)
    d = torch.randn_like(output)
    (got,) = torch.autograd.grad(output, x, torch._neg_view(d), retain_graph=True)
    (expected,) = torch.autograd.grad(output, x, d)
    assert torch.equal(got, -expected)
    with torch.no_grad():
        (got, _), (expected, _) = (
            unroll_with("c", cell, y, state) for y in (torch._neg_view(x), -x)
        )
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
