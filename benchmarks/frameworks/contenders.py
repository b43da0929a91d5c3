"""The frameworks: what to install, the form of their weights, and the check of their results."""

import copy
import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.frameworks.job import NAMES, Array
from benchmarks.implementations import MAX_DIFFERENCE
from conversion import from_keras, to_keras, to_onnx

Results = dict[str, Array]


def _state_dict(layer: nn.Module) -> Results:
    return {name: weight.detach().numpy() for name, weight in layer.named_parameters()}


def _onnx_file(layer: nn.RNNBase) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "layer.onnx"
        to_onnx(layer, file, initial_state=True)
        return file.read_bytes()


def _from_keras(gradients: Results, kind: str) -> Results:
    """Gradients by torch.nn's names. The gradient of Keras's one bias is that of each of two."""
    arrays = list(gradients.values())
    layers = [arrays[n : n + 3] for n in range(0, len(arrays), 3)]
    found = _state_dict(from_keras(layers, kind=kind.lower()))
    if kind == "LSTM":
        found = {name: array for name, array in found.items() if not name.startswith("bias_hh")}
    return found


@dataclass(frozen=True)
class Framework:
    """A framework that is timed.

    Attributes:
        module: the file in this folder that runs it.
        packages: what ``pip install`` needs, if it is not installed with this project.
        imports: the modules that it imports.
        weights: the weights of a layer of torch.nn in the framework's form.
        gradients: the gradients by torch.nn's names, from the framework's and the kind of layer.
        trains: whether training is timed.
    """

    module: str
    packages: str = ""
    imports: tuple[str, ...] = ()
    weights: Callable[[nn.RNNBase], Any] = _state_dict
    gradients: Callable[[Results, str], Results] = lambda gradients, kind: gradients
    trains: bool = True

    @property
    def missing(self) -> bool:
        """Whether one of the modules is not installed."""
        return any(importlib.util.find_spec(name) is None for name in self.imports)


_KERAS: dict[str, Any] = {
    "packages": "keras tensorflow-cpu",
    "imports": ("keras", "tensorflow"),
    "weights": to_keras,
    "gradients": _from_keras,
}
_ONNX: dict[str, Any] = {"weights": _onnx_file, "trains": False}

SCRATCH = "this project"

FRAMEWORKS = {
    SCRATCH: Framework("scratch_layers"),
    "PyTorch": Framework("torch_layers"),
    "Flax": Framework("flax_layers", "flax", ("flax", "jax")),
    "Keras, graph": Framework("keras_layers", **_KERAS),
    "Keras, XLA": Framework("keras_xla_layers", **_KERAS),
    "ONNX Runtime": Framework("onnx_layers", "onnx onnxruntime", ("onnx", "onnxruntime"), **_ONNX),
    "OpenVINO": Framework("openvino_layers", "onnx openvino", ("onnx", "openvino"), **_ONNX),
}
"""By the name that is printed. The first one is what the others are compared with."""


def make_layer(kind: str, features: int, hidden_size: int, num_layers: int) -> nn.RNNBase:
    """torch.nn's layer, whose weights all frameworks have.

    b_hh is 0, because Flax's GRU does not have this bias. The time does not depend on its value.
    """
    torch.manual_seed(0)
    layer: nn.RNNBase = getattr(nn, kind)(features, hidden_size, num_layers)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if name.startswith("bias_hh"):
                weight.zero_()
    return layer


def expected_results(layer: nn.RNNBase, x: Array, state: tuple[Array, ...]) -> dict[str, Results]:
    """What every framework must return, by phase, computed by torch.nn in float64."""
    exact = copy.deepcopy(layer).double()
    parts = tuple(torch.from_numpy(part).double() for part in state)
    outputs, final = exact(
        torch.from_numpy(x).double(), parts if isinstance(layer, nn.LSTM) else parts[0]
    )
    outputs.square().mean().backward()
    final = final if isinstance(final, tuple) else (final,)
    return {
        "inference": {
            name: tensor.detach().numpy()
            for name, tensor in zip(NAMES, (outputs, *final), strict=False)
        },
        "train": {
            name: weight.grad.numpy()
            for name, weight in exact.named_parameters()
            if weight.grad is not None
        },
    }


def difference(got: Results, expected: Results, phase: str) -> float:
    """The largest difference, relative to the largest element of each tensor.

    Raises:
        AssertionError: a tensor is missing, has another shape, or differs by more than the
            tolerance of float32.
    """
    optional = {name for name in expected if name.startswith("bias_hh")}  # Flax, Keras: one bias
    missing = expected.keys() - optional - got.keys()
    assert not missing, f"{phase} does not return {', '.join(sorted(missing))}"
    largest = 0.0
    for name, array in got.items():
        assert array.shape == expected[name].shape, (
            f"{phase}: {name} has the shape {array.shape}, expected {expected[name].shape}"
        )
        apart = float(np.abs(array - expected[name]).max() / np.abs(expected[name]).max())
        assert apart <= MAX_DIFFERENCE["float32"], (
            f"{phase}: {name} differs from the float64 result by {apart:.1e} of its largest "
            f"element, more than {MAX_DIFFERENCE['float32']:.0e}"
        )
        largest = max(largest, apart)
    return largest
