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
from oracles import differences, observe
from strategies import Configuration, configurations

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
