"""Programs of other libraries and languages: Keras layers, Flax modules, plain functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.program import Program
from cell_verifier.formats.weights import LayerWeights, cell_weights
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind

KERAS_GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 1, 2, 3)}
"""For each of torch.nn's gates, its place in Keras's columns: GRU z, r, h; LSTM i, f, c, o."""


def is_keras(subject: object) -> bool:
    """Whether an object is a layer or a model of Keras; Keras is not imported."""
    return any(c.__module__.split(".")[0] in ("keras", "tf_keras") for c in type(subject).__mro__)


def is_flax(subject: object) -> bool:
    """Whether an object is a module of Flax; Flax is not imported."""
    return any(c.__module__.split(".")[0] == "flax" for c in type(subject).__mro__)


def function_program(function: Callable[..., Any], takes_arrays: bool) -> Program:
    """The program of a function of arrays or tensors, such as one of C, called by ctypes."""

    def run(*arguments: Any) -> Any:
        return function(*map(_as_arrays, arguments)) if takes_arrays else function(*arguments)

    return Program(name=getattr(function, "__name__", type(function).__name__), run=run)


def _as_arrays(argument: Any) -> Any:
    if isinstance(argument, tuple):
        return tuple(map(_as_arrays, argument))
    return np.array(argument)


def flax_program(module: Any, kind: Kind) -> Program:
    """The program of a module of Flax that holds its weights, such as ``flax.nnx.RNN``."""

    def run(x: Tensor) -> list[Tensor]:
        return [torch.tensor(np.asarray(module(x.numpy())))]

    weights = _nnx_weights(getattr(module, "cell", module), kind)
    return Program(
        type(module).__name__, run, weights=weights, state_forms=("none",), batch_first=True
    )


def _nnx_weights(cell: Any, kind: Kind) -> LayerWeights | None:
    """The weights of a cell of flax.nnx with the Dense layers ``dense_i`` and ``dense_h``."""
    if not hasattr(cell, "dense_i"):
        return None
    dense = cell.dense_i, cell.dense_h
    kernels = [torch.tensor(np.asarray(each.kernel[...])).T for each in dense]
    biases = [
        None if each.bias is None else torch.tensor(np.asarray(each.bias[...])) for each in dense
    ]
    names = {"dense_i.kernel": "weight_ih.T", "dense_h.kernel": "weight_hh.T"}
    return LayerWeights((cell_weights(kind, *kernels, *biases),), 1, names)


def keras_program(layer: Any, kind: Kind) -> Program:
    """The program of a recurrent layer of Keras, or of ``Bidirectional`` with one."""
    layers = [layer] if not hasattr(layer, "forward_layer") else [
        layer.forward_layer, layer.backward_layer
    ]  # fmt: skip
    if hasattr(layer, "layers") and len(layer.layers) == 1:  # a Sequential of one layer
        return keras_program(layer.layers[0], kind)
    names = {type(each).__name__ for each in layers}
    title = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}[kind.name]
    if names != {title}:
        return Program(
            layer.name, lambda x: _arrays_of(layer(x.numpy())), state_forms=("none",),
            batch_first=True,
        )  # fmt: skip
    two = len(layers) == 2

    def run(x: Tensor, *state: Tensor) -> list[Tensor]:
        initial = [part[d].numpy() for d in range(len(layers)) for part in state]
        returned = _arrays_of(layer(x.numpy(), initial_state=initial or None))
        if not two or len(returned) == 1:
            return returned
        # output, then the parts of the state forward, then those of the reverse direction
        output, *parts = returned
        count = len(parts) // 2
        return [output, *(torch.stack([parts[n], parts[count + n]]) for n in range(count))]

    return Program(
        name=type(layer).__name__,
        run=run,
        weights=keras_weights([each.get_weights() for each in layers], kind),
        state_forms=("separate",),
        batch_first=True,
        hints=tuple(hint for each in layers[:1] for hint in _keras_hints(each)),
    )


def _arrays_of(returned: Any) -> list[Tensor]:
    parts = returned if isinstance(returned, list | tuple) else [returned]
    return [_as_tensor(part) for part in parts]


def _as_tensor(array: Any) -> Tensor:
    """A tensor of torch from an array of any of Keras's backends, torch included."""
    return array.detach().cpu() if isinstance(array, Tensor) else torch.tensor(np.asarray(array))


def keras_weights(arrays: Sequence[Sequence[Any]], kind: Kind) -> LayerWeights:
    """The weights of a Keras layer: of each direction kernel, recurrent kernel and perhaps bias."""
    cells: list[Weights] = []
    for direction in arrays:
        kernel, recurrent, *biases = (torch.tensor(np.asarray(each)) for each in direction)
        bias = biases[0] if biases else torch.zeros(kernel.shape[1])
        both = bias if bias.dim() == 2 else torch.stack([bias, torch.zeros_like(bias)])
        order = list(KERAS_GATES[kind.name])
        parts = [
            part.unflatten(0, (len(order), -1))[order].flatten(0, 1)
            for part in (kernel.T, recurrent.T, *both)
        ]
        cells.append(cell_weights(kind, *parts))
    names = {"kernel": "weight_ih.T", "recurrent_kernel": "weight_hh.T", "bias": "the biases"}
    return LayerWeights(tuple(cells), len(arrays), names)


def _keras_hints(layer: Any) -> list[str]:
    """Settings of a Keras layer with which it does not compute what torch.nn does."""
    settings: Mapping[str, Any] = layer.get_config()
    hints = []
    if settings.get("reset_after") is False:
        hints.append("the layer has reset_after=False; torch.nn's GRU is reset_after=True")
    if settings.get("recurrent_activation", "sigmoid") != "sigmoid":
        used = settings["recurrent_activation"]
        hints.append(f"the layer has recurrent_activation={used!r}; torch.nn's is the sigmoid")
    if settings.get("activation", "tanh") != "tanh":
        hints.append(f"the layer has activation={settings['activation']!r}; torch.nn's is tanh")
    if settings.get("go_backwards"):
        hints.append("the layer has go_backwards=True; torch.nn has no reverse layer alone")
    return hints


def without_weights(name: str) -> CannotCheckError:
    """The error for a program in which no weights are found."""
    return CannotCheckError(
        f"no weights of a layer are found in {name}: give torch.nn's state_dict, as weights=... "
        "or --weights FILE"
    )
