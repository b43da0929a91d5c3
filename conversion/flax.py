"""Weights of Flax's SimpleCell, GRUCell, LSTMCell and OptimizedLSTMCell, as nested mappings.

In ``flax.linen`` each gate has two Dense layers, such as ``if`` and ``hf``, whose kernels are
(inputs, units). Where the sum of both is all that is used, only one has a bias: ``h*`` of an LSTM,
``i*`` of the others, and ``hn`` of a GRU, which the reset gate multiplies. In ``flax.nnx``, the
Dense layers of all gates are one, ``dense_i`` and ``dense_h``, with torch.nn's order of gates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from conversion.equations import flax_layer, stacked
from conversion.spec import (
    GATES,
    Array,
    CellArrays,
    ConversionError,
    LayerSpec,
    check,
    layer_of_spec,
    spec_of,
)
from scratch_cells.recurrent_stack import RecurrentStack

Params = Mapping[str, Any]
"""The parameters of one cell: ``{"ii": {"kernel": ...}, "hi": {"kernel": ..., "bias": ...}}``."""


def from_flax(source: Any) -> RecurrentStack:
    """A hand-written layer with the weights of a cell of Flax, or of several.

    Args:
        source: the parameters of one cell, as ``flax.linen`` names them, in any nesting of one name
            each, such as ``{"params": {"cell": {...}}}``; a pair (forward, backward) of these for a
            bidirectional layer; or a list with one of these for each layer. Or a cell or an ``RNN``
            of ``flax.nnx``.

    Returns:
        The layer, in eval mode, with ``batch_first=True``. It was checked to compute what Flax's
        equations give or, for an ``RNN`` of ``flax.nnx``, what that object returns.

    Raises:
        ConversionError: the parameters are those of another cell, such as ConvLSTMCell.
    """
    layers = source if isinstance(source, list) else [source]
    read = [
        [_linen(each) for each in (layer if isinstance(layer, tuple) else (layer,))]
        for layer in layers
    ]
    kinds = {kind for layer in read for kind, _ in layer}
    counts = {len(layer) for layer in read}
    if len(kinds) != 1 or len(counts) != 1:
        raise ConversionError(
            f"the cells are {sorted(kinds)} in {sorted(counts)} directions: expected one kind, and "
            "the same number of directions in each layer"
        )
    (kind,), (directions,) = kinds, counts
    cells = [_to_cell(kind, params) for layer in read for _, params in layer]
    spec = LayerSpec(kind, cells, directions)
    converted = layer_of_spec(spec)
    check(_equations(read), spec, "the layer from Flax's parameters")
    if len(layers) == 1 and callable(source) and hasattr(source, "cell"):
        check(source, spec, "Flax's RNN")
    return converted


def to_flax(layer: nn.Module) -> list[Params | tuple[Params, Params]]:
    """The weights of a layer as the parameters of cells of ``flax.linen``.

    Args:
        layer: an RNN (with tanh), GRU or LSTM of scratch_cells or torch.nn.

    Returns:
        For each layer the parameters of its SimpleCell, GRUCell, or LSTMCell and
        OptimizedLSTMCell; of a bidirectional layer, the pair (forward, backward). Biases that Flax
        does not keep apart are added; a layer without biases gets biases of zero.

    Raises:
        ConversionError: Flax has no such cell, for example with proj_size.
    """
    spec = spec_of(layer)
    if spec.nonlinearity != "tanh":
        raise ConversionError(
            f"layer has nonlinearity={spec.nonlinearity!r}, which is not a parameter of "
            "SimpleCell: use tanh"
        )
    params = [_to_params(spec.kind, cell) for cell in spec.cells]
    d = spec.num_directions
    layers = [params[n : n + d] for n in range(0, len(params), d)]
    check(
        _equations([[(spec.kind, each) for each in layer] for layer in layers]),
        spec,
        "what Flax computes",
    )
    return [(layer[0], layer[1]) if d == 2 else layer[0] for layer in layers]


def _equations(layers: Sequence[Sequence[tuple[str, Params]]]) -> Any:
    run = stacked([[flax_layer(kind, params) for kind, params in layer] for layer in layers])
    return lambda x: run(x.numpy())


def _dense_names(kind: str) -> tuple[list[str], list[str]]:
    """Flax's names of the Dense layers of x and of h, in torch.nn's order of gates."""
    if kind == "rnn":
        return ["i"], ["h"]
    return [f"i{gate}" for gate in GATES[kind]], [f"h{gate}" for gate in GATES[kind]]


def _to_params(kind: str, cell: CellArrays) -> Params:
    gates = len(GATES[kind])
    zeros = np.zeros(len(cell.w_ih), cell.w_ih.dtype)
    b_ih, b_hh = (zeros if bias is None else bias for bias in (cell.b_ih, cell.b_hh))
    split = [np.split(part, gates) for part in (cell.w_ih, cell.w_hh, b_ih, b_hh)]
    params: dict[str, dict[str, Array]] = {}
    for gate, (of_x, of_h) in enumerate(zip(*_dense_names(kind), strict=True)):
        w_x, w_h, b_x, b_h = (part[gate] for part in split)
        params[of_x] = {"kernel": np.ascontiguousarray(w_x.T)}
        params[of_h] = {"kernel": np.ascontiguousarray(w_h.T)}
        if of_h == "hn":
            params[of_x]["bias"], params[of_h]["bias"] = b_x, b_h
        else:
            params[of_h if kind == "lstm" else of_x]["bias"] = b_x + b_h
    return params


def _to_cell(kind: str, params: Params) -> CellArrays:
    arrays: list[Array] = []
    for names in _dense_names(kind):
        arrays.append(np.concatenate([np.asarray(params[name]["kernel"]).T for name in names]))
    for names in _dense_names(kind):
        zeros = [np.zeros(params[name]["kernel"].shape[1], arrays[0].dtype) for name in names]
        pairs = zip(names, zeros, strict=True)
        arrays.append(np.concatenate([np.asarray(params[n].get("bias", z)) for n, z in pairs]))
    return CellArrays(*arrays)


def _linen(source: Any) -> tuple[str, Params]:
    """The kind and the parameters, by ``flax.linen``'s names, of parameters or of an nnx object."""
    cell = getattr(source, "cell", source)
    if hasattr(cell, "dense_i"):
        return _from_nnx({n: _of_dense(getattr(cell, n)) for n in ("dense_i", "dense_h")})
    if not isinstance(cell, Mapping) and hasattr(cell, "ii"):  # nnx.LSTMCell
        names = {name: name for name in (n for part in _dense_names("lstm") for n in part)}
        names["if"] = "if_"
        return "lstm", {name: _of_dense(getattr(cell, own)) for name, own in names.items()}
    while isinstance(cell, Mapping) and len(cell) == 1:
        (cell,) = cell.values()
    if not isinstance(cell, Mapping):
        raise ConversionError(
            f"source is a {type(source).__name__}: expected the parameters of a cell of Flax"
        )
    if "dense_i" in cell:
        return _from_nnx(cell)
    for kind in GATES:
        names_of_kind = {name for part in _dense_names(kind) for name in part}
        if set(cell) == names_of_kind:
            return kind, {
                name: {key: np.asarray(array) for key, array in part.items()}
                for name, part in cell.items()
            }
    raise ConversionError(
        f"the parameters {', '.join(map(str, cell))} are not those of SimpleCell, GRUCell, "
        "LSTMCell or OptimizedLSTMCell; of several layers, give a list with the parameters of each"
    )


def _of_dense(dense: Any) -> dict[str, Array]:
    arrays = {"kernel": np.asarray(dense.kernel[...])}
    if getattr(dense, "bias", None) is not None:
        arrays["bias"] = np.asarray(dense.bias[...])
    return arrays


def _from_nnx(cell: Params) -> tuple[str, Params]:
    """The parameters of an nnx cell, by ``flax.linen``'s names."""
    units = len(cell["dense_h"]["kernel"])
    gates = cell["dense_h"]["kernel"].shape[1] // units
    kind = {1: "rnn", 3: "gru", 4: "lstm"}.get(gates)
    if kind is None:
        raise ConversionError(f"dense_h has {gates} gates: expected those of an RNN, GRU or LSTM")
    params: dict[str, Any] = {}
    for own, names in zip(("dense_i", "dense_h"), _dense_names(kind), strict=True):
        for key, array in cell[own].items():
            for name, part in zip(names, np.split(np.asarray(array), gates, -1), strict=True):
                params.setdefault(name, {})[key] = part
    return kind, params
