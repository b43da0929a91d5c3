"""Keras: every option that its weights have, there and back, by its equations and by itself."""

import os
from typing import Any

import numpy as np
import pytest
import torch

import scratch_cells
from conversion import ConversionError, from_keras, to_keras

KINDS = {"rnn": scratch_cells.RNN, "gru": scratch_cells.GRU, "lstm": scratch_cells.LSTM}


def describe(layer: Any) -> str:
    """A short name of a layer for pytest."""
    return f"{type(layer).__name__}({layer.extra_repr()})"


def layers() -> list[Any]:
    """Every kind of layer that Keras has weights for."""
    torch.manual_seed(0)
    return [
        KINDS[kind](3, 4, n, bias=bias, bidirectional=bidirectional, batch_first=True)
        for kind in KINDS
        for n in (1, 2)
        for bias in (True, False)
        for bidirectional in (False, True)
    ]


@pytest.mark.parametrize("layer", layers(), ids=describe)
def test_arrays_there_and_back_are_equal(layer: Any) -> None:
    kind = type(layer).__name__.lower()
    back = from_keras(to_keras(layer), kind=kind)
    x = torch.randn(2, 7, 3)
    torch.testing.assert_close(back(x)[0], layer(x)[0], rtol=1e-6, atol=1e-6)
    assert back.bias == layer.bias


def test_relu_is_kept() -> None:
    layer = scratch_cells.RNN(3, 4, nonlinearity="relu", batch_first=True)
    back = from_keras(to_keras(layer), kind="rnn", nonlinearity="relu")
    x = torch.randn(2, 7, 3)
    torch.testing.assert_close(back(x)[0], layer(x)[0], rtol=1e-6, atol=1e-6)


ARRAYS = [np.ones((3, 12)), np.ones((4, 12)), np.ones((2, 12))]


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (ARRAYS, {}, "kind is None: give 'rnn', 'gru' or 'lstm'"),
        (ARRAYS, {"kind": "gru", "reset_after": False}, "reset_after is False"),
        ([*ARRAYS[:2], np.ones(12)], {"kind": "gru"}, "that of reset_after=False"),
        (ARRAYS, {"kind": "lstm"}, "expected .inputs, 4.units."),
        (ARRAYS[:1], {"kind": "gru"}, "a layer has 1 arrays"),
    ],
)
def test_what_torch_cannot_hold_is_an_error(
    arrays: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        from_keras(arrays, **options)


def test_a_conversion_with_rows_in_a_wrong_order_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("conversion.keras").keras.KERAS_GATES, "gru", "rzn")
    with pytest.raises(ConversionError, match="gate-order"):
        to_keras(scratch_cells.GRU(3, 4))


# --- with Keras itself ---------------------------------------------------------------------------


from_inside_keras = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""A warning that Keras's backend of torch causes in NumPy."""


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is not installed")


def keras_layer(keras: Any, name: str, bidirectional: bool = False, **options: Any) -> Any:
    """A built layer of Keras for 3 features, with random weights, biases too."""
    layer = getattr(keras.layers, name)(4, return_sequences=True, **options)
    layer = keras.layers.Bidirectional(layer) if bidirectional else layer
    layer.build((None, None, 3))
    random = np.random.default_rng(0)
    layer.set_weights([0.5 * random.normal(size=each.shape) for each in layer.get_weights()])
    return layer


@from_inside_keras
@pytest.mark.parametrize("name", ["SimpleRNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_a_keras_layer_there_and_back(
    keras: Any, name: str, bidirectional: bool, use_bias: bool
) -> None:
    source = keras_layer(keras, name, bidirectional, use_bias=use_bias)
    layer = from_keras(source)
    x = np.random.default_rng(1).normal(size=(2, 6, 3)).astype("float32")
    expected = keras.ops.convert_to_numpy(source(x))
    with torch.no_grad():
        np.testing.assert_allclose(layer(torch.tensor(x))[0].numpy(), expected, atol=1e-6)
    target = keras_layer(keras, name, bidirectional, use_bias=use_bias)
    to_keras(layer, into=target)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(target(x)), expected, atol=1e-6)


@from_inside_keras
@pytest.mark.parametrize(
    "option",
    [
        {"recurrent_activation": "hard_sigmoid"},
        {"activation": "relu"},
        {"go_backwards": True},
        {"recurrent_dropout": 0.2},
        {"dropout": 0.2},
    ],
)
def test_options_of_keras_that_torch_has_not_are_an_error(
    keras: Any, option: dict[str, Any]
) -> None:
    (name,) = option
    with pytest.raises(ConversionError, match=name):
        from_keras(keras_layer(keras, "LSTM", **option))
