"""Weights of Keras's SimpleRNN, GRU and LSTM, as arrays in the order of ``get_weights()``.

Keras's kernels are (inputs, gates * units), the transpose of torch.nn's. The columns have the order
i, f, c, o (LSTM) and z, r, h (GRU). SimpleRNN and LSTM have one bias, the sum of torch.nn's two; a
GRU with reset_after=True has two, as (2, 3*units). Keras is imported only by its own objects.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from conversion.equations import keras_layer, stacked
from conversion.spec import (
    GATES,
    Array,
    CellArrays,
    ConversionError,
    LayerSpec,
    check,
    layer_of_spec,
    reordered,
    spec_of,
    with_both_biases,
)
from scratch_cells.recurrent_stack import RecurrentStack

KERAS_GATES = {"rnn": "n", "gru": "zrn", "lstm": "ifgo"}
"""The order of the gates in Keras's columns, with torch.nn's letters."""

KERAS_CLASSES = {"SimpleRNN": "rnn", "GRU": "gru", "LSTM": "lstm"}

REQUIRED = {
    "recurrent_activation": ("sigmoid", "torch.nn's gates are sigmoids"),
    "reset_after": (True, "torch.nn's GRU applies the reset gate after the matrix product"),
    "go_backwards": (False, "torch.nn has no layer that reads in reverse alone"),
    "stateful": (False, "torch.nn's layers keep no state between calls"),
    "dropout": (0.0, "it is not torch.nn's dropout between layers; set it to 0"),
    "recurrent_dropout": (0.0, "torch.nn has no dropout inside the loop; set it to 0"),
}
"""Settings of a Keras layer that torch.nn has in one form only, and why."""


def from_keras(
    source: Any,
    *,
    kind: str | None = None,
    nonlinearity: str = "tanh",
    reset_after: bool = True,
) -> RecurrentStack:
    """A hand-written layer with the weights of a layer of Keras, or of several in a row.

    Args:
        source: a SimpleRNN, GRU or LSTM of Keras, ``Bidirectional`` with one, or a list of these;
            or the arrays of ``get_weights()``, or a list of those.
        kind: of arrays: ``"rnn"``, ``"gru"`` or ``"lstm"``.
        nonlinearity: of arrays of a SimpleRNN: ``"tanh"`` or ``"relu"``.
        reset_after: of arrays of a GRU: Keras's option of this name.

    Returns:
        The layer, in eval mode, with ``batch_first=True``. It was checked to compute what Keras's
        object does or, for arrays, what Keras's equations give.

    Raises:
        ConversionError: torch.nn has no such layer, for example with reset_after=False.
    """
    if _is_objects(source):
        return _from_objects(list(source) if isinstance(source, list | tuple) else [source])
    if kind not in GATES:
        raise ConversionError(f"kind is {kind!r}: give 'rnn', 'gru' or 'lstm' with arrays")
    if kind == "gru" and not reset_after:
        raise ConversionError(f"reset_after is False: {REQUIRED['reset_after'][1]}")
    layers = list(source) if isinstance(source[0], list | tuple) else [source]
    spec = _spec([[np.asarray(part) for part in layer] for layer in layers], kind, nonlinearity)
    layer = layer_of_spec(spec)
    check(_equations(layers, kind, nonlinearity), spec, "the layer from Keras's arrays")
    return layer


def to_keras(layer: nn.Module, into: Any = None) -> list[list[Array]]:
    """The weights of a layer as Keras's arrays.

    Args:
        layer: an RNN, GRU or LSTM of scratch_cells or torch.nn.
        into: the Keras layer that receives them, or a list with one for each layer; built, and
            ``Bidirectional`` for a bidirectional layer.

    Returns:
        For each layer the arrays for ``set_weights()``: kernel, recurrent kernel and bias; of a
        bidirectional layer, those of the forward direction first. Dropout is not part of them.

    Raises:
        ConversionError: Keras has no such layer, for example with proj_size; or ``into`` has other
            shapes or options.
    """
    spec = spec_of(layer)
    directions = spec.num_directions
    arrays = []
    for n in range(spec.num_layers):
        cells = spec.cells[n * directions : (n + 1) * directions]
        arrays.append([part for cell in cells for part in _to_arrays(cell, spec.kind)])
    check(_equations(arrays, spec.kind, spec.nonlinearity), spec, "what Keras computes")
    if into is not None:
        _set(into, arrays, spec)
    return arrays


def _to_arrays(cell: CellArrays, kind: str) -> list[Array]:
    order = GATES[kind], KERAS_GATES[kind]
    kernels = [np.ascontiguousarray(reordered(part, *order).T) for part in (cell.w_ih, cell.w_hh)]
    if cell.b_ih is None or cell.b_hh is None:
        return kernels
    biases = reordered(cell.b_ih, *order), reordered(cell.b_hh, *order)
    return [*kernels, np.stack(biases) if kind == "gru" else biases[0] + biases[1]]


def _spec(layers: Sequence[Sequence[Array]], kind: str, nonlinearity: str) -> LayerSpec:
    """The specification of layers, from the arrays of each."""
    cells, counts = [], set()
    for arrays in layers:
        directions = _directions(arrays)
        counts.add(len(directions))
        cells += [_from_arrays(each, kind) for each in directions]
    if len(counts) > 1:
        raise ConversionError(
            "some layers are bidirectional and others are not: convert each alone"
        )
    return with_both_biases(LayerSpec(kind, cells, counts.pop(), nonlinearity))


def _directions(arrays: Sequence[Array]) -> list[Sequence[Array]]:
    """The arrays of each direction: two or three of one, four or six of two."""
    if len(arrays) not in (2, 3, 4, 6):
        raise ConversionError(
            f"a layer has {len(arrays)} arrays: expected kernel, recurrent kernel and bias, as "
            "get_weights() returns them, or twice those of a bidirectional layer"
        )
    if len(arrays) < 4:
        return [arrays]
    half = len(arrays) // 2
    return [arrays[:half], arrays[half:]]


def _from_arrays(arrays: Sequence[Array], kind: str) -> CellArrays:
    kernel, recurrent, *rest = arrays
    gates = len(GATES[kind])
    columns = gates * len(recurrent)
    if kernel.ndim != 2 or recurrent.shape[1:] != (columns,) or kernel.shape[1] != columns:
        raise ConversionError(
            f"kernel {kernel.shape} and recurrent kernel {recurrent.shape} are not those of a "
            f"{kind.upper()}: expected (inputs, {gates}*units) and (units, {gates}*units)"
        )
    order = KERAS_GATES[kind], GATES[kind]
    w_ih, w_hh = (reordered(np.ascontiguousarray(part.T), *order) for part in (kernel, recurrent))
    if not rest:
        return CellArrays(w_ih, w_hh, None, None)
    (bias,) = rest
    if kind == "gru" and bias.ndim == 1:
        raise ConversionError(
            f"the bias of the GRU has shape {bias.shape}, that of reset_after=False: "
            f"{REQUIRED['reset_after'][1]}, where the bias is (2, 3*units)"
        )
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    b_ih, b_hh = (reordered(part, *order) for part in both)
    return CellArrays(w_ih, w_hh, b_ih, b_hh)


def _equations(layers: Sequence[Sequence[Array]], kind: str, nonlinearity: str) -> Any:
    run = stacked([
        [
            keras_layer(kind, each[0], each[1], each[2] if len(each) > 2 else None, nonlinearity)
            for each in _directions(layer)
        ]
        for layer in layers
    ])  # fmt: skip
    return lambda x: run(x.numpy())


def _is_objects(source: Any) -> bool:
    first = source[0] if isinstance(source, list | tuple) and source else source
    return hasattr(first, "get_weights")


def _from_objects(layers: list[Any]) -> RecurrentStack:
    parts = [part for layer in layers for part in _parts(layer)]
    kinds = {_kind(part) for part in parts}
    activations = {part.get_config()["activation"] for part in parts}
    if len(kinds) > 1 or len(activations) > 1:
        raise ConversionError(
            f"the layers are {sorted(kinds)} with activations {sorted(activations)}: "
            "expected one kind and one activation; convert each layer alone"
        )
    (kind,), (activation,) = kinds, activations
    for part in parts:
        _check_settings(part, kind, activation)
    spec = _spec([layer.get_weights() for layer in layers], kind, activation)
    converted = layer_of_spec(spec)
    for n, layer in enumerate(layers):
        one = _one_layer(spec, n)
        check(layer, one, f"the Keras layer {layer.name}")
    return converted


def _one_layer(spec: LayerSpec, n: int) -> LayerSpec:
    d = spec.num_directions
    return LayerSpec(spec.kind, spec.cells[n * d : (n + 1) * d], d, spec.nonlinearity)


def _parts(layer: Any) -> list[Any]:
    """A layer, or the two layers of ``Bidirectional``."""
    if not hasattr(layer, "forward_layer"):
        return [layer]
    if layer.merge_mode != "concat":
        raise ConversionError(
            f"the layer {layer.name} has merge_mode={layer.merge_mode!r}: torch.nn concatenates "
            "both directions, 'concat'"
        )
    return [layer.forward_layer, layer.backward_layer]


def _kind(part: Any) -> str:
    name = type(part).__name__
    if name not in KERAS_CLASSES:
        raise ConversionError(f"a layer is a {name}: expected SimpleRNN, GRU or LSTM")
    if not part.built:
        raise ConversionError(f"the layer {part.name} has no weights yet: call build() first")
    return KERAS_CLASSES[name]


def _check_settings(part: Any, kind: str, activation: str) -> None:
    config = part.get_config()
    if activation != "tanh" and (kind, activation) != ("rnn", "relu"):
        raise ConversionError(
            f"the layer {part.name} has activation={activation!r}: torch.nn's is tanh, or relu of "
            "an RNN"
        )
    for name, (value, why) in REQUIRED.items():
        in_reverse = name == "go_backwards" and part.name.startswith("backward_")
        if name in config and config[name] != value and not in_reverse:
            raise ConversionError(f"the layer {part.name} has {name}={config[name]!r}: {why}")


def _set(into: Any, arrays: list[list[Array]], spec: LayerSpec) -> None:
    layers = list(into) if isinstance(into, list | tuple) else [into]
    if len(layers) != len(arrays):
        raise ConversionError(
            f"into has {len(layers)} Keras layers and the layer num_layers={len(arrays)}: give as "
            "many"
        )
    for n, (layer, each) in enumerate(zip(layers, arrays, strict=True)):
        for part in _parts(layer):
            if _kind(part) != spec.kind:
                raise ConversionError(
                    f"into is a {type(part).__name__}: give a {spec.kind.upper()}"
                )
            _check_settings(part, spec.kind, part.get_config()["activation"])
        try:
            layer.set_weights(each)
        except ValueError as error:
            raise ConversionError(
                f"the Keras layer {layer.name} has other shapes: {error}"
            ) from error
        check(layer, _one_layer(spec, n), f"the Keras layer {layer.name}")
