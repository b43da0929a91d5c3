"""Matrix products with oneDNN equal torch's own, and run only where they are faster."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import scratch_cells
from scratch_cells.backends import matmul
from scratch_cells.backends.matmul import Matmul, OneDNNMatmul, make_matmul
from tests.helpers.backends import layers_with
from tests.helpers.oracles import assert_same
from tests.helpers.strategies import Configuration, configurations

SIZES = st.integers(1, 40)


def strided_matrix(rows: int, columns: int, transposed: bool) -> Tensor:
    """A random row-major or column-major matrix, with gaps in memory between its lines."""
    shape = (columns, rows + 3) if transposed else (rows, columns + 3)
    whole = torch.randn(shape)
    return whole[:, :rows].t() if transposed else whole[:, :columns]


@pytest.mark.parametrize("kind", [Matmul, OneDNNMatmul])
@given(rows=st.integers(0, 40), m=SIZES, n=SIZES, transposed=st.booleans(), biased=st.booleans())
def test_both_equal_the_float64_product(
    kind: type[Matmul], rows: int, m: int, n: int, transposed: bool, biased: bool
) -> None:
    torch.manual_seed(0)
    w, x, before = (
        strided_matrix(m, n, transposed),
        strided_matrix(rows, n, False),
        strided_matrix(rows, m, False),
    )
    b = torch.randn(m) if biased else None
    expected = x.double() @ w.t().double()
    copies = [tensor.clone() for tensor in (w, x)]
    product = kind(w, b)

    out = before.clone()
    product.write(x, out=out)
    whole = expected if b is None else expected + b
    torch.testing.assert_close(out.double(), whole, rtol=0, atol=1e-5)

    out = before.clone()
    assert product.add(x, to=out) is out
    torch.testing.assert_close(out.double(), before + expected, rtol=0, atol=1e-5)
    assert all(map(torch.equal, (w, x), copies))


@pytest.fixture
def always_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "ONEDNN_MIN_ELEMENTS", 0)
    monkeypatch.setattr(matmul, "ONEDNN_MIN_STEPS", 0)


@pytest.mark.usefixtures("always_onednn")
@given(configurations(dtype=torch.float32, layouts=("batched", "unbatched")))
def test_layers_with_onednn_equal_torch_nn(configuration: Configuration) -> None:
    """The weights of the other property tests are too small for oneDNN."""
    ours, theirs = configuration.build(layers_with("bptt")), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float32)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_layers_use_onednn_for_large_weights(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the constants as they are: a planted error in the oneDNN product changes the output."""
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(3, 512, backend="bptt")
    x = torch.randn(matmul.ONEDNN_MIN_STEPS, 2, 3)
    plain = getattr(scratch_cells, kind)(3, 512)
    plain.load_state_dict(layer.state_dict())
    plain.backend = "plain"
    torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=1e-6)
    linear = OneDNNMatmul._linear
    monkeypatch.setattr(OneDNNMatmul, "_linear", lambda *arguments: 1.01 * linear(*arguments))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=1e-6)


def test_onednn_runs_for_large_float32_weights_on_a_cpu() -> None:
    large = torch.zeros(1024, 512)
    assert type(make_matmul(large, 16)) is OneDNNMatmul
    assert type(make_matmul(large, 15)) is Matmul
    assert type(make_matmul(large[1:], 16)) is Matmul
    assert type(make_matmul(large.double(), 16)) is Matmul
    assert type(make_matmul(large.to("meta"), 16)) is Matmul


def test_torch_runs_the_product_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    large = torch.zeros(1024, 512)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert type(make_matmul(large, 16)) is Matmul
    monkeypatch.undo()
    assert type(make_matmul(large, 16)) is OneDNNMatmul
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert type(make_matmul(large, 16)) is Matmul
