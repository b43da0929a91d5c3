"""Products by oneDNN equal torch's own, in the layers too, and are left where they do not pay."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import scratch_cells
from scratch_cells.backends import matmul as product
from scratch_cells.backends.matmul import Product, ProductByOneDNN, product_with
from tests.helpers.backends import LAYERS
from tests.helpers.oracles import assert_same
from tests.helpers.strategies import Configuration, configurations

SIZES = st.integers(1, 40)


def drawn(rows: int, columns: int, transposed: bool) -> Tensor:
    """A matrix, row by row in memory or column by column, with gaps between the lines."""
    shape = (columns, rows + 3) if transposed else (rows, columns + 3)
    whole = torch.randn(shape)
    return whole[:, :rows].t() if transposed else whole[:, :columns]


@pytest.mark.parametrize("kind", [Product, ProductByOneDNN])
@given(rows=st.integers(0, 40), m=SIZES, n=SIZES, transposed=st.booleans(), biased=st.booleans())
def test_both_are_the_product(
    kind: type[Product], rows: int, m: int, n: int, transposed: bool, biased: bool
) -> None:
    torch.manual_seed(0)
    w, x, before = drawn(m, n, transposed), drawn(rows, n, False), drawn(rows, m, False)
    b = torch.randn(m) if biased else None
    expected = x.double() @ w.t().double()
    given_to = [tensor.clone() for tensor in (w, x)]
    by = kind(w, b)

    out = before.clone()
    by.write(x, out=out)
    whole = expected if b is None else expected + b
    torch.testing.assert_close(out.double(), whole, rtol=0, atol=1e-5)

    out = before.clone()
    assert by.add(x, to=out) is out
    torch.testing.assert_close(out.double(), before + expected, rtol=0, atol=1e-5)
    assert all(map(torch.equal, (w, x), given_to))


@pytest.fixture
def every_product_by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "LARGE", 0)
    monkeypatch.setattr(product, "MANY", 0)


@pytest.mark.usefixtures("every_product_by_onednn")
@given(configurations(dtype=torch.float32, layouts=("batched", "unbatched")))
def test_layers_with_every_product_by_onednn(configuration: Configuration) -> None:
    """The other property tests draw weights too small for it."""
    ours, theirs = configuration.build(LAYERS["by hand"]), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float32)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_large_weights_are_taken_by_onednn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the layer is, without a constant changed; a product is made wrong, and that is seen."""
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(3, 512, backend="by_hand")
    x = torch.randn(product.MANY, 2, 3)
    plain = getattr(scratch_cells, kind)(3, 512)
    plain.load_state_dict(layer.state_dict())
    plain.backend = "plain"
    torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=1e-6)
    right = ProductByOneDNN._linear
    monkeypatch.setattr(ProductByOneDNN, "_linear", lambda *given: 1.01 * right(*given))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=1e-6)


def test_where_it_pays() -> None:
    large = torch.zeros(1024, 512)
    assert type(product_with(large, 16)) is ProductByOneDNN
    assert type(product_with(large, 15)) is Product
    assert type(product_with(large[1:], 16)) is Product
    assert type(product_with(large.double(), 16)) is Product
    assert type(product_with(large.to("meta"), 16)) is Product


def test_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    large = torch.zeros(1024, 512)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert type(product_with(large, 16)) is Product
    monkeypatch.undo()
    assert type(product_with(large, 16)) is ProductByOneDNN
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert type(product_with(large, 16)) is Product
