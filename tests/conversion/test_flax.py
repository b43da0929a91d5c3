"""Flax: every option that its cells have, there and back, by its equations and by itself."""

from typing import Any

import numpy as np
import pytest
import torch

import scratch_cells
from conversion import ConversionError, from_flax, to_flax
from tests.conversion.test_keras import describe, layers


@pytest.mark.parametrize("layer", layers(), ids=describe)
def test_parameters_there_and_back_are_equal(layer: Any) -> None:
    back = from_flax(to_flax(layer))
    x = torch.randn(2, 7, 3)
    torch.testing.assert_close(back(x)[0], layer(x)[0], rtol=1e-6, atol=1e-6)


def test_names_are_those_of_flax() -> None:
    (lstm,) = to_flax(scratch_cells.LSTM(3, 4))
    assert {name: sorted(each) for name, each in lstm.items()} == {
        **{f"i{gate}": ["kernel"] for gate in "ifgo"},
        **{f"h{gate}": ["bias", "kernel"] for gate in "ifgo"},
    }
    (gru,) = to_flax(scratch_cells.GRU(3, 4))
    assert sorted(name for name, each in gru.items() if "bias" in each) == ["hn", "in", "ir", "iz"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "source is a int"),
        ({"if": {}, "in": {}, "hf": {}, "hn": {}}, "not those of SimpleCell, GRUCell"),
        ([to_flax(scratch_cells.RNN(3, 4))[0], to_flax(scratch_cells.GRU(4, 4))[0]], "one kind"),
    ],
)
def test_other_cells_are_an_error(source: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        from_flax(source)


def test_a_relu_is_an_error() -> None:
    with pytest.raises(ConversionError, match="not a parameter of SimpleCell"):
        to_flax(scratch_cells.RNN(3, 4, nonlinearity="relu"))


# --- with Flax itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SimpleCell", "GRUCell", "LSTMCell", "OptimizedLSTMCell"])
def test_a_cell_of_flax_there_and_back(name: str) -> None:
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")
    import jax

    rnn = linen.RNN(getattr(linen, name)(features=4))
    x = np.random.default_rng(1).normal(size=(2, 6, 3)).astype("float32")
    params = rnn.init(jax.random.PRNGKey(0), x)
    params = jax.tree.map(lambda each: each + 0.1, params)  # biases that are not zero
    layer = from_flax(params)
    with torch.no_grad():
        output = layer(torch.tensor(x))[0].numpy()
    np.testing.assert_allclose(output, np.asarray(rnn.apply(params, x)), atol=1e-6)
    (back,) = to_flax(layer)
    again = rnn.apply({"params": {"cell": back}}, x)
    np.testing.assert_allclose(np.asarray(again), output, atol=1e-6)


@pytest.mark.parametrize("name", ["SimpleCell", "GRUCell", "LSTMCell", "OptimizedLSTMCell"])
def test_a_cell_of_nnx(name: str) -> None:
    nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed")
    layer = from_flax(getattr(nnx, name)(3, 4, rngs=nnx.Rngs(0)))
    assert layer.hidden_size == 4
