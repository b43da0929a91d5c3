"""bfloat16, float16 and autocast in the C backend: every result is as close as torch.nn's.

A result is compared with the float64 result of torch.nn for the same weights. It may differ from it
by at most what torch.nn's own result differs, or by the rounding of 16-bit numbers.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import scratch_cells
from scratch_cells.backends import KERNELS, c_backend, c_call, c_cells, c_compiler, sequence_buffers
from scratch_cells.backends.bptt import forward_by_kernel
from scratch_cells.backends.c_compiler import load_library
from scratch_cells.backends.eligibility import kind_of, operands_of
from scratch_cells.backends.precision import Precision
from scratch_cells.cell import parts, whole
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw,
    each_unprojected_kind,
    needs_c,
    unroll_with,
)
from tests.helpers.half_precision import autocast_to, each_half, each_mode
from tests.helpers.strategies import Configuration, configurations

pytestmark = needs_c


@pytest.fixture
def always_parallel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(c_backend, "MIN_PARALLEL_MULTIPLY_ADDS", 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["-mno-avx512bf16", "-mno-avx512f"])
def without_products(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile as for a processor without products of bfloat16."""
    monkeypatch.setattr(c_compiler, "OPTIONS", (*c_compiler.OPTIONS, request.param))
    load_library.cache_clear()
    yield
    load_library.cache_clear()


# --- accuracy -------------------------------------------------------------------------------------


def observe(
    layer: nn.Module, x: Tensor, state: list[Tensor], autocast: torch.dtype | None
) -> dict[str, Tensor]:
    """Outputs, final state and every gradient, by name."""
    leaves = [leaf.detach().clone().requires_grad_() for leaf in (x, *state)]
    layer.zero_grad()
    with autocast_to(autocast):
        output, final = layer(leaves[0], whole(leaves[1:]))
    returned = {"output": output, **{f"final {i}": part for i, part in enumerate(parts(final))}}
    generator = torch.Generator().manual_seed(0)
    loss = sum(
        (part.double() * torch.randn(part.shape, generator=generator).double()).sum()
        for part in returned.values()
    )
    loss.backward()
    weights = layer.state_dict(keep_vars=True)
    gradients = {f"d leaf {i}": leaf.grad for i, leaf in enumerate(leaves)}
    gradients |= {f"d {name}": weight.grad for name, weight in weights.items()}
    return returned | {name: d for name, d in gradients.items() if d is not None}


def errors(
    configuration: Configuration, half: torch.dtype, autocast: bool
) -> Iterator[tuple[str, float, float, float]]:
    """The name of each result, our error, torch.nn's, and the norm of the exact result.

    The dtypes are checked on the way.
    """
    weights_dtype = torch.float32 if autocast else half
    layers = [configuration.build(package).to(weights_dtype) for package in (scratch_cells, nn)]
    exact = configuration.build(nn).double()
    exact.load_state_dict(layers[1].state_dict())
    x = configuration.input()[1].to(weights_dtype)
    state = [part.to(weights_dtype) for part in configuration.state()]
    used = half if autocast else None
    with autocast_to(used):
        assert layers[0].backend_for(x, whole(state)).name == "c"
    ours = observe(layers[0], x, state, used)
    if autocast and half is torch.float16 and configuration.kind == "LSTM":  # oneDNN has none
        layers[1] = getattr(scratch_cells, configuration.kind)(
            **configuration.options, backend="plain"
        ).train(configuration.training)
        layers[1].load_state_dict(layers[0].state_dict())
    theirs = observe(layers[1], x, state, used)
    expected = observe(exact, x.double(), [part.double() for part in state], None)
    assert ours.keys() == theirs.keys() == expected.keys()
    for name, value in expected.items():
        assert (ours[name].dtype, ours[name].shape) == (theirs[name].dtype, theirs[name].shape)
        error, their_error = (
            (each[name].double() - value).norm().item() for each in (ours, theirs)
        )
        yield name, error, their_error, value.norm().item()


drawn = configurations(dtype=torch.float32, layouts=("batched", "unbatched")).filter(
    lambda each: (
        not each.options.get("proj_size") and each.options["dropout"] == 0 and (each.batch > 0)
    )
)


def assert_close(configuration: Configuration, half: torch.dtype, autocast: bool) -> None:
    rounding = torch.finfo(half).eps / 2
    for name, ours, theirs, norm in errors(configuration, half, autocast):
        assert ours <= theirs + 8 * rounding * max(1.0, norm), (name, ours, theirs, norm)


@each_half
@each_mode
@given(configuration=drawn)
@settings(max_examples=settings().max_examples // 3)
def test_drawn_layers_are_as_close_to_the_exact_result_as_torch_nn(
    half: torch.dtype, autocast: bool, configuration: Configuration
) -> None:
    assert_close(configuration, half, autocast)


@pytest.mark.usefixtures("without_products")
@each_mode
@given(configuration=drawn)
@settings(max_examples=settings().max_examples // 6)
def test_they_are_without_products_of_bfloat16(
    autocast: bool, configuration: Configuration
) -> None:
    assert_close(configuration, torch.bfloat16, autocast)


LARGE = {
    kind: Configuration(
        kind,
        {"input_size": 29, "hidden_size": 67, "bidirectional": True},
        time=12,
        batch=9,
        dtype=torch.float32,
    )
    for kind in ("RNN", "GRU", "LSTM")
}


@pytest.mark.parametrize("kind", LARGE)
@each_half
@each_mode
def test_a_large_result_is_closer_than_that_of_torch_nn(
    kind: str, half: torch.dtype, autocast: bool
) -> None:
    """There the roundings of single elements average out. Every tensor is closer."""
    for name, ours, theirs, _ in errors(LARGE[kind], half, autocast):
        assert ours <= theirs, name


def of_bits(bits: int, tensor: Tensor) -> Tensor:
    mask = -(2 ** (24 - bits))
    return (tensor.float().view(torch.int32) & mask).view(torch.float32).to(tensor.dtype)


@pytest.mark.parametrize(
    "bug", ["factors of 5 bits", "weights of 4 bits in one call", "the last row of d"]
)
def test_a_less_exact_backend_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_call, "MAX_ELEMENTS", 0 if "one call" not in bug else 10**6)
    if bug == "weights of 4 bits in one call":
        arguments = c_call.SequenceCall.arguments
        monkeypatch.setattr(
            c_call.SequenceCall,
            "arguments",
            lambda self, x, *w: arguments(self, x, *map(partial(of_bits, 4), w[:2]), w[2]),
        )
    elif bug == "factors of 5 bits":
        factor = Precision.factor
        monkeypatch.setattr(
            Precision,
            "factor",
            lambda self, t: factor(self, of_bits(5, t)),
        )
    else:
        kernel = c_cells.CLSTMKernel
        add = kernel.add_to_weights
        monkeypatch.setattr(
            kernel,
            "add_to_weights",
            lambda self, b, d, *w: add(self, b, d.index_fill(0, torch.tensor([len(d) - 1]), 0), *w),
        )
    with pytest.raises(AssertionError, match="d weight" if "row" in bug else "output|final"):
        assert_close(LARGE["LSTM"], torch.bfloat16, False)


# --- every size, thread count, and packed sequences -----------------------------------------------


def compare_with_the_reference_loop(
    kind: str,
    sizes: tuple[int, int, int],
    batch_sizes: tuple[int, ...] | None,
    half: torch.dtype,
) -> None:
    """Compare outputs, final state and every gradient with the loop in float32."""
    time, batch, size = sizes
    torch.manual_seed(0)
    cells = [CELLS[kind](5, size) for _ in range(2)]
    if kind == "RNN relu":  # no pre-activation near 0, where a rounding changes the derivative
        for weight in cells[0].parameters():
            weight.data *= 0.1 if weight.dim() == 2 else 2 / weight.data.abs()
        cells[0].hidden_to_hidden.bias.data.zero_()
    cells[0].to(half)
    cells[1].load_state_dict(cells[0].state_dict())
    seen = []
    for cell, backend in zip(cells, ("c", "plain"), strict=True):
        x, state = draw(cell, time, batch)
        if batch_sizes is not None:
            x = torch.cat([x[t, :n] for t, n in enumerate(batch_sizes)])
        x = x.to(half).to(x.dtype).detach().requires_grad_()
        state = whole([p.to(half).to(p.dtype).detach().requires_grad_() for p in parts(state)])
        output, final = unroll_with(backend, cell, x, state, batch_sizes, size % 2 == 1)
        assert backend_of(output) == backend
        returned = (output, *parts(final))
        loss = sum((p * torch.linspace(-1, 1, p.numel()).view(p.shape)).sum() for p in returned)
        seen.append((*returned, *torch.autograd.grad(loss, [x, *parts(state), *cell.parameters()])))
    for got, expected in zip(*seen, strict=True):
        assert got.dtype is half
        bound = 8 * torch.finfo(half).eps * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(got.float(), expected, rtol=0, atol=bound)


@each_unprojected_kind
@each_half
@pytest.mark.usefixtures("always_parallel")
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 70)),
    way=st.sampled_from(["packed", "blocks", "one call"]),
    block_rows=st.sampled_from([1, 50, 1024]),
    threads=st.integers(1, 5),
)
@settings(max_examples=settings().max_examples // 3)
def test_every_size_and_thread_count_equals_the_loop(
    kind: str,
    half: torch.dtype,
    sizes: tuple[int, int, int],
    way: str,
    block_rows: int,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    time, batch, _ = sizes
    batch_sizes = tuple(max(1, batch - 3 * t) for t in range(time)) if way == "packed" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_buffers, "BLOCK_ELEMENTS", 1)
        patch.setattr(sequence_buffers, "BLOCK_ROWS", block_rows)
        patch.setattr(c_call, "MAX_ELEMENTS", 10**6 if way == "one call" else 0)
        compare_with_the_reference_loop(kind, sizes, batch_sizes, half)


@each_unprojected_kind
@each_mode
@pytest.mark.parametrize("max_elements", [0, c_call.MAX_ELEMENTS])
@pytest.mark.usefixtures("always_parallel")
def test_results_are_bit_exact_for_any_number_of_threads(
    kind: str, autocast: bool, max_elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_call, "MAX_ELEMENTS", max_elements)
    cell = CELLS[kind](3, 40).to(torch.float32 if autocast else torch.bfloat16)
    x, state = draw(cell, 7, 23)
    seen = []
    for threads in (1, 2, 3, 4, 2):
        torch.set_num_threads(threads)
        with autocast_to(torch.bfloat16 if autocast else None):
            output, final = unroll_with("c", cell, x, state)
        leaves = [x, *parts(state), *cell.parameters()]
        gradients = torch.autograd.grad([output, *parts(final)], leaves, [output, *parts(final)])
        seen.append((output, *parts(final), *gradients))
    for other in seen[1:]:
        assert all(map(torch.equal, seen[0], other))


@pytest.mark.skipif(load_library(torch.bfloat16)[0] is None, reason="no products of bfloat16")
@pytest.mark.parametrize(("kind", "function"), [("RNN", torch.tanh), ("LSTM", torch.sigmoid)])
def test_tanh_and_sigmoid_are_accurate_to_four_units_in_the_last_place_of_float32(
    kind: str, function: Callable[[Tensor], Tensor]
) -> None:
    """For every number of bfloat16 whose exponential is finite. Under autocast h is float32."""
    a = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16)
    a = a[(a.abs() < 80) & (a.abs() > 1e-30)]
    cell = CELLS[kind](1, 1, bias=False, dtype=torch.bfloat16)
    ones = torch.ones(cell.input_to_hidden.weight.shape)
    cell.load_state_dict({"weight_ih": ones, "weight_hh": 0 * ones})
    operands = operands_of(cell, a.view(1, -1, 1), cell.zero_state(a.view(-1, 1)))
    kernel = KERNELS["c", str(kind_of(cell))]
    precision = kernel.precision_for(torch.bfloat16)
    _, buffers = forward_by_kernel(kernel, operands, True, False, precision=precision)
    got = buffers.gates[0, :, 0]
    expected = function(a.double()).float()
    torch.testing.assert_close(got, expected, rtol=4 * torch.finfo(torch.float32).eps, atol=2e-38)
