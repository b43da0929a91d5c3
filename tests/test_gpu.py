"""The hand-written layers against cuDNN, on a GPU, with TF32 off.

cuDNN computes recurrent layers in TF32 by default and plain matrix products do not; TF32 is
therefore switched off here, and the difference that it makes is reported by ``benchmarks.gpu``.
"""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from torch import nn

import scratch_cells
from scratch_cells.backends.triton_backend import unroll_fused
from scratch_cells.unroll import unroll
from tests.helpers.oracles import differences, observe
from tests.helpers.strategies import Configuration, configurations
from tests.helpers.triton_checks import (
    CELLS,
    EPS,
    FUSED,
    assert_close,
    draw,
    launches,
    name_of,
    run,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(autouse=True, scope="module")
def without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def comparable(configuration: Configuration) -> Configuration:
    """What cuDNN can be asked: its dropout masks are its own, it has no backward in eval mode."""
    return dataclasses.replace(
        configuration,
        options=configuration.options | {"dropout": 0.0},
        training=True,
        batch=max(configuration.batch, 1),
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_same_as_cudnn(dtype: torch.dtype) -> None:
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
def test_fused_is_the_same_as_cudnn(configuration: Configuration) -> None:
    configuration = comparable(configuration)
    with launches() as names:
        ours, theirs = (
            {name: seen.contiguous() for name, seen in observe(layer, configuration).items()}
            for layer in (configuration.build(FUSED), configuration.build(nn))
        )
    lines = differences(ours, theirs, torch.float32)
    assert not lines, "\n".join([*lines, "with", repr(configuration)])
    assert names or configuration.options.get("proj_size")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [16, 33, 128])
@pytest.mark.parametrize("kind", CELLS)
def test_fused_at_full_size(kind: str, size: int, reverse: bool) -> None:
    """Batch, steps and units of the benchmark, against the plain loop in float32.

    In bfloat16 two roundings for what the forward walk returns and four for gradients, as in
    ``test_fused``; twice that, for sums over a hundred sequences.
    """
    torch.manual_seed(0)
    cell = CELLS[kind](28, size, device="cuda")
    x, state = draw(cell, 28, 100)
    expected = run(unroll, cell, x, state, reverse)
    with launches() as names:
        got = run(unroll_fused, cell, x, state, reverse)
    assert names == [f"{name_of(kind)}_forward", f"{name_of(kind)}_backward"]
    if kind != "RNN relu":  # near its kink two right answers may fall to different sides
        assert_close(got, expected)

    narrow = CELLS[kind](28, size, dtype=torch.bfloat16, device="cuda")
    narrow.load_state_dict(cell.state_dict())
    cell.load_state_dict(narrow.state_dict())
    state_parts = state if isinstance(state, tuple) else (state,)
    rounded = [leaf.detach().bfloat16().requires_grad_() for leaf in (x, *state_parts)]
    exact = [leaf.detach().float().requires_grad_() for leaf in rounded]
    seen = []
    for way, runs, (leaf, *hx) in ((unroll_fused, narrow, rounded), (unroll, cell, exact)):
        given = tuple(hx) if len(hx) > 1 else hx[0]
        seen.append([each.float() for each in run(way, runs, leaf, given, reverse)])
    returned = 1 + len(state_parts)
    if kind != "RNN relu":
        assert_close(seen[0][:returned], seen[1][:returned], 4 * EPS)
        assert_close(seen[0][returned:], seen[1][returned:], 8 * EPS)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_fused_under_autocast(kind: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(28, 128, 2).cuda()
    ours = getattr(FUSED, kind)(28, 128, 2).cuda()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(28, 100, 28, device="cuda")
    with torch.autocast("cuda", torch.bfloat16), launches() as names:
        got, expected = ours(x)[0], theirs(x)[0]
    assert len(names) == 2
    assert got.dtype == expected.dtype
    assert (got - expected).abs().max() <= 4 * EPS


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_double_backward_where_cudnn_has_none(kind: str) -> None:
    layer = getattr(scratch_cells, kind)(2, 3, 2, dtype=torch.float64, device="cuda")
    x = torch.randn(3, 2, 2, dtype=torch.float64, device="cuda", requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,), fast_mode=True)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_backward_in_eval_mode_where_cudnn_refuses(kind: str) -> None:
    layer = getattr(scratch_cells, kind)(2, 3, device="cuda").eval()
    x = torch.randn(3, 2, 2, device="cuda", requires_grad=True)
    layer(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_autocast_gives_cudnns_dtype(kind: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(3, 4).cuda()
    ours = scratch_cells.from_torch(theirs)
    x = torch.randn(5, 2, 3, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        got, expected = ours(x)[0], theirs(x)[0]
    assert got.dtype == expected.dtype
    assert (got - expected).abs().max() <= 2e-2
