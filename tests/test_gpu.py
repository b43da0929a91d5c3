"""The hand-written layers compared with cuDNN, on a GPU.

By default cuDNN computes recurrent layers in TF32, and torch computes matrix products in float32.
So these tests disable TF32. ``python -m benchmarks.gpu`` measures the difference that it makes.
"""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from torch import nn

import scratch_cells
from benchmarks.gpu.measure import captured
from scratch_cells.backends import triton_backend
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
CELLS_WITH_KERNELS = [kind for kind in CELLS if kind != "LSTM projected"]

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
@pytest.mark.parametrize("size", [16, 33, 128, 256])
@pytest.mark.parametrize("kind", CELLS_WITH_KERNELS)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", CELLS_WITH_KERNELS)
def test_triton_gives_the_same_bits_in_every_run(kind: str, dtype: torch.dtype) -> None:
    """Threads that do not wait for each other give another result now and then."""
    cell = CELLS[kind](28, 100, dtype=dtype, device="cuda")
    x, state = draw(cell, 200, 300)
    first, *others = (values_and_gradients("triton", cell, x, state) for _ in range(4))
    for other in others:
        assert all(map(torch.equal, first, other))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_triton_runs_more_than_65535_steps(kind: str) -> None:
    """Compared with two halves, the second of which continues from the state of the first."""
    layer = getattr(TRITON_LAYERS, kind)(1, 16).cuda()
    x = torch.randn(70_000, 2, 1, device="cuda", requires_grad=True)
    outputs, _ = layer(x)
    (d_x,) = torch.autograd.grad(outputs.sum(), x)
    half, state = layer(x[:35_000])
    other_half, _ = layer(x[35_000:], state)
    torch.testing.assert_close(outputs, torch.cat([half, other_half]))
    (expected,) = torch.autograd.grad(half.sum() + other_half.sum(), x)
    torch.testing.assert_close(d_x, expected)


@pytest.mark.parametrize(("time", "batch"), [(300, 2**14), (1, 2**22 + 64)])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_triton_addresses_more_than_2_31_gates(kind: str, time: int, batch: int) -> None:
    """The last sequences of a large batch, compared with a batch of these alone."""
    if torch.cuda.mem_get_info()[0] < 40 * 2**30:
        pytest.skip("needs 40 GiB of GPU memory")
    layer = getattr(TRITON_LAYERS, kind)(1, 128, device="cuda", dtype=torch.bfloat16)
    few = torch.randn(time, 64, 1, device="cuda", dtype=torch.bfloat16)
    many = torch.zeros(time, batch, 1, device="cuda", dtype=torch.bfloat16)
    many[:, -64:] = few
    seen = []
    for x in (few, many):
        x.requires_grad_()
        outputs, _ = layer(x)
        last = outputs[:, -64:]
        (d_x,) = torch.autograd.grad(last.float().square().sum(), x)
        seen.append((last.detach().clone(), d_x[:, -64:].clone()))
        del outputs, last, d_x
    for got, expected in zip(*seen[::-1], strict=True):
        torch.testing.assert_close(
            got, expected, rtol=0, atol=2 * EPS * expected.abs().max().item()
        )


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_triton_is_not_compiled_again_for_another_batch_or_length(kind: str) -> None:
    layer = getattr(TRITON_LAYERS, kind)(3, 21, device="cuda")
    functions = [
        getattr(triton_backend._kernels(), f"{kind.lower()}_{direction}")
        for direction in ("forward", "backward")
    ]
    counts = []
    for time, batch in ((3, 5), (1, 1), (16, 16), (32, 17)):
        layer(torch.randn(time, batch, 3, device="cuda"))[0].sum().backward()
        counts.append([len(caches[0]) for f in functions for caches in f.device_caches.values()])
    assert counts == counts[:1] * 4


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_triton_runs_in_a_cuda_graph(kind: str) -> None:
    layer = getattr(TRITON_LAYERS, kind)(28, 128, 2).cuda()
    x = torch.randn(28, 100, 28, device="cuda")
    replay = captured(lambda: layer(x)[0], x.device)
    x.copy_(torch.randn_like(x))
    torch.testing.assert_close(replay(), layer(x)[0], rtol=0, atol=0)


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
