"""The hand-written layers compared with cuDNN, on a GPU.

By default cuDNN computes recurrent layers in TF32, and torch computes matrix products in float32.
So these tests disable TF32. ``benchmarks/on_gpu.sh`` measures the difference that it makes.
"""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from torch import nn

import scratch_cells
from tests.helpers.backends import CELLS, draw, layers_with
from tests.helpers.oracles import differences, observe
from tests.helpers.strategies import Configuration, configurations
from tests.helpers.triton_checks import (
    EPS,
    assert_close,
    launches,
    prefix_of,
    values_and_gradients,
)

TRITON_LAYERS = layers_with("triton")

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(autouse=True, scope="module")
def without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def comparable(configuration: Configuration) -> Configuration:
    """What cuDNN supports: it draws other dropout masks and has no backward pass in eval mode."""
    return dataclasses.replace(
        configuration,
        options=configuration.options | {"dropout": 0.0},
        training=True,
        batch=max(configuration.batch, 1),
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_gradients_equal_cudnn(dtype: torch.dtype) -> None:
    @given(configurations(dtype=dtype, device="cuda"))
    def check(configuration: Configuration) -> None:
        configuration = comparable(configuration)
        ours, theirs = (
            {name: seen.contiguous() for name, seen in observe(layer, configuration).items()}
            for layer in (configuration.build(scratch_cells), configuration.build(nn))
        )
        lines = differences(ours, theirs, dtype)
        assert not lines, "\n".join([*lines, "with", repr(configuration)])

    check()


@given(configurations(dtype=torch.float32, device="cuda", layouts=("batched", "unbatched")))
def test_triton_equals_cudnn(configuration: Configuration) -> None:
    configuration = comparable(configuration)
    with launches() as names:
        ours, theirs = (
            {name: seen.contiguous() for name, seen in observe(layer, configuration).items()}
            for layer in (configuration.build(TRITON_LAYERS), configuration.build(nn))
        )
    lines = differences(ours, theirs, torch.float32)
    assert not lines, "\n".join([*lines, "with", repr(configuration)])
    assert names or configuration.options.get("proj_size")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [16, 33, 128])
@pytest.mark.parametrize("kind", CELLS)
def test_triton_at_full_size_equals_the_reference_loop(kind: str, size: int, reverse: bool) -> None:
    """With batch, steps and units of the benchmark, compared with the reference loop in float32.

    In bfloat16 the tolerance is twice that of ``test_triton_backend``, for sums over a hundred
    sequences: four rounding errors for the results of the forward pass, eight for gradients.
    """
    torch.manual_seed(0)
    cell = CELLS[kind](28, size, device="cuda")
    x, state = draw(cell, 28, 100)
    expected = values_and_gradients("plain", cell, x, state, reverse)
    with launches() as names:
        got = values_and_gradients("triton", cell, x, state, reverse)
    assert names == [f"{prefix_of(kind)}_forward", f"{prefix_of(kind)}_backward"]
    if kind != "RNN relu":  # near its kink rounding decides the sign
        assert_close(got, expected)

    narrow = CELLS[kind](28, size, dtype=torch.bfloat16, device="cuda")
    narrow.load_state_dict(cell.state_dict())
    cell.load_state_dict(narrow.state_dict())
    state_parts = state if isinstance(state, tuple) else (state,)
    rounded = [leaf.detach().bfloat16().requires_grad_() for leaf in (x, *state_parts)]
    exact = [leaf.detach().float().requires_grad_() for leaf in rounded]
    seen = []
    for backend, model, (leaf, *hx) in (("triton", narrow, rounded), ("plain", cell, exact)):
        given = tuple(hx) if len(hx) > 1 else hx[0]
        results = values_and_gradients(backend, model, leaf, given, reverse)
        seen.append([each.float() for each in results])
    returned = 1 + len(state_parts)
    if kind != "RNN relu":
        assert_close(seen[0][:returned], seen[1][:returned], 4 * EPS)
        assert_close(seen[0][returned:], seen[1][returned:], 8 * EPS)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_triton_under_autocast_equals_cudnn(kind: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(28, 128, 2).cuda()
    ours = getattr(TRITON_LAYERS, kind)(28, 128, 2).cuda()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(28, 100, 28, device="cuda")
    with torch.autocast("cuda", torch.bfloat16), launches() as names:
        got, expected = ours(x)[0], theirs(x)[0]
    assert len(names) == 2
    assert got.dtype == expected.dtype
    assert (got - expected).abs().max() <= 4 * EPS


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_double_backward_works_where_cudnn_has_none(kind: str) -> None:
    layer = getattr(scratch_cells, kind)(2, 3, 2, dtype=torch.float64, device="cuda")
    x = torch.randn(3, 2, 2, dtype=torch.float64, device="cuda", requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,), fast_mode=True)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_backward_in_eval_mode_works_where_cudnn_raises(kind: str) -> None:
    layer = getattr(scratch_cells, kind)(2, 3, device="cuda").eval()
    x = torch.randn(3, 2, 2, device="cuda", requires_grad=True)
    layer(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_autocast_returns_the_dtype_of_cudnn(kind: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(3, 4).cuda()
    ours = scratch_cells.from_torch(theirs)
    x = torch.randn(5, 2, 3, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        got, expected = ours(x)[0], theirs(x)[0]
    assert got.dtype == expected.dtype
    assert (got - expected).abs().max() <= 2e-2
