"""ONNX files with real RNN, GRU and LSTM operators, for any number of time steps and samples.

ONNX's operators read (T, B, I) and return Y (T, D, B, H). Their rows have the order i, o, f, c
(LSTM) and z, r, h (GRU). A GRU needs linear_before_reset=1 to be torch.nn's.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.onnx_file import open_onnx
from cell_verifier.reference.kinds import KINDS
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
)
from scratch_cells.recurrent_stack import RecurrentStack

ONNX_GATES = {"rnn": "n", "gru": "zrn", "lstm": "iofg"}
"""The order of the gates in ONNX's rows, with torch.nn's letters."""

OPSET = 17
"""Version of the operators; LSTM, GRU and RNN have not changed between 14 and 21."""


def to_onnx(layer: nn.Module, file: str | os.PathLike[str], *, initial_state: bool = False) -> None:
    """Write a layer as an ONNX file, and check it by onnxruntime.

    The file is for inference: dropout between layers is left out. Its inputs are ``input`` and,
    with ``initial_state``, ``h_0`` and ``c_0``; its outputs are ``output``, ``h_n`` and ``c_n``,
    each with torch.nn's shapes. The number of time steps and of samples is free.

    Args:
        layer: an RNN, GRU or LSTM of scratch_cells or torch.nn, in float32.
        file: path of the file, ending in ``.onnx``. It is replaced only if the check passes.
        initial_state: whether the initial state is an input; else it is zero.

    Raises:
        ConversionError: ONNX cannot hold the layer, such as one with proj_size; or onnx or
            onnxruntime is not installed; or the file does not compute what the layer does.
    """
    path = Path(file)
    if path.suffix != ".onnx":
        raise ConversionError(f"file is {str(path)!r}: expected a name that ends in .onnx")
    spec = spec_of(layer)
    dtype = spec.cells[0].w_ih.dtype
    if dtype != np.float32:
        raise ConversionError(
            f"layer has dtype {dtype}, in which onnxruntime has no recurrent operators: call "
            "layer.float() first"
        )
    model = _model(_import_onnx(), spec, initial_state)
    with tempfile.TemporaryDirectory(dir=path.absolute().parent) as folder:
        written = Path(folder) / path.name
        written.write_bytes(model.SerializeToString())
        check(written, spec, "the ONNX file")
        written.replace(path)


def from_onnx(file: str | os.PathLike[str]) -> RecurrentStack:
    """Read the RNN, GRU or LSTM operators of an ONNX file as one hand-written layer.

    Returns:
        The layer, in eval mode. It was checked to return what onnxruntime returns for the file, at
        the number of time steps and samples for which the file is made, if it is for one only.

    Raises:
        ConversionError: the file contains no such operator, or an option that torch.nn's layers do
            not have, such as linear_before_reset=0; or it computes more than the layer.
    """
    path = Path(file)
    onnx = _import_onnx()
    try:
        graph = onnx.load(path).graph
    except Exception as error:
        raise ConversionError(f"cannot read {path}: {error}") from error
    nodes = [node for node in graph.node if node.op_type.lower() in GATES]
    kinds = {node.op_type.lower() for node in nodes}
    if len(kinds) != 1:
        raise ConversionError(
            f"{path.name} contains {' and '.join(sorted(kinds)) or 'no RNN, GRU or LSTM'}: "
            "expected operators of one of these kinds"
        )
    (kind,) = kinds
    for node in nodes:
        _check_attributes(node)
    try:
        program = open_onnx(path, KINDS[kind])
    except CannotCheckError as error:
        raise ConversionError(str(error)) from error
    assert program.weights is not None
    arrays = {
        name: part.to(program.dtype).numpy()
        for name, part in program.weights.by_torch_names().items()
    }
    names = list(arrays)
    has_bias = any(len(node.input) > 3 and node.input[3] for node in nodes)
    cells = [
        CellArrays(
            arrays[names[at]], arrays[names[at + 1]],
            *((arrays[names[at + 2]], arrays[names[at + 3]]) if has_bias else (None, None)),
        )
        for at in range(0, len(names), 4)
    ]  # fmt: skip
    spec = LayerSpec(kind, cells, program.weights.num_directions, _nonlinearity(nodes))
    report = check(path, spec, f"the layer in {path.name}", sizes_may_be_frozen=True)
    batch_first = "x: (B, T, I)" in report.convention
    return layer_of_spec(replace(spec, batch_first=batch_first))


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ConversionError(
            "onnx is not installed: pip install onnx onnxruntime, or install the extra onnx"
        ) from error
    return onnx


def _model(onnx: Any, spec: LayerSpec, initial_state: bool) -> Any:
    """The ONNX model of a layer."""
    graph = _Graph(onnx, spec)
    x = "input"
    if spec.batch_first:
        x = graph.add("Transpose", [x], perm=[1, 0, 2])
    states = ["h_0", "c_0"][: 2 if spec.kind == "lstm" else 1]
    parts = {state: graph.split(state) if initial_state else None for state in states}
    finals: dict[str, list[str]] = {state: [] for state in states}
    for layer in range(spec.num_layers):
        initial = [each[layer] for each in parts.values() if each is not None]
        y, *last = graph.recurrent(layer, x, initial)
        for state, name in zip(states, last, strict=True):
            finals[state].append(name)
        transposed = graph.add("Transpose", [y], perm=[0, 2, 1, 3])  # (T, B, D, H)
        x = graph.add("Reshape", [transposed, graph.constant(np.array([0, 0, -1]))])
    if spec.batch_first:
        graph.add("Transpose", [x], output="output", perm=[1, 0, 2])
    else:
        graph.add("Identity", [x], output="output")
    for state, names in finals.items():
        graph.add("Concat", names, output=f"{state[0]}_n", axis=0)
    return graph.finish(states if initial_state else [], [f"{state[0]}_n" for state in states])


class _Graph:
    """A graph under construction: its nodes and its constants."""

    def __init__(self, onnx: Any, spec: LayerSpec) -> None:
        self.onnx, self.spec = onnx, spec
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.dtype = spec.cells[0].w_ih.dtype

    def constant(self, array: Array, name: str = "") -> str:
        """Add a constant; return its name."""
        name = name or f"constant_{len(self.initializers)}"
        self.initializers.append(
            self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        )
        return name

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def split(self, state: str) -> list[str]:
        """The rows (D, B, H) of each layer of an initial state (L*D, B, H)."""
        directions, layers = self.spec.num_directions, self.spec.num_layers
        names = [f"{state}_layer_{n}" for n in range(layers)]
        sizes = self.constant(np.full(layers, directions))
        self.nodes.append(self.onnx.helper.make_node("Split", [state, sizes], names, axis=0))
        return names

    def recurrent(self, layer: int, x: str, initial: list[str]) -> list[str]:
        """Add the operator of one layer; return the names of Y, Y_h and, of an LSTM, Y_c."""
        spec, directions = self.spec, self.spec.num_directions
        cells = spec.cells[layer * directions : (layer + 1) * directions]
        order = GATES[spec.kind], ONNX_GATES[spec.kind]
        w = np.stack([reordered(cell.w_ih, *order) for cell in cells])
        r = np.stack([reordered(cell.w_hh, *order) for cell in cells])
        inputs = [x, self.constant(w, f"W_{layer}"), self.constant(r, f"R_{layer}"), ""]
        if cells[0].b_ih is not None:
            biases = [
                np.concatenate([reordered(part, *order) for part in cell[2:] if part is not None])
                for cell in cells
            ]
            inputs[3] = self.constant(np.stack(biases), f"B_{layer}")
        if initial:
            inputs += ["", *initial]
        attributes: dict[str, Any] = {"hidden_size": spec.hidden_size}
        attributes["direction"] = "bidirectional" if directions == 2 else "forward"
        if spec.kind == "gru":
            attributes["linear_before_reset"] = 1
        if spec.kind == "rnn":
            attributes["activations"] = [spec.nonlinearity.capitalize()] * directions
        outputs = [f"{name}_{layer}" for name in ("Y", "Y_h", "Y_c")][
            : 3 if spec.kind == "lstm" else 2
        ]
        name = f"{spec.kind.upper()}_{layer}"
        node = self.onnx.helper.make_node(spec.kind.upper(), inputs, outputs, name, **attributes)
        self.nodes.append(node)
        return outputs

    def finish(self, states: list[str], finals: list[str]) -> Any:
        """The model, with its inputs and outputs."""
        helper, spec = self.onnx.helper, self.spec
        element = helper.np_dtype_to_tensor_dtype(self.dtype)
        axes = ["batch", "time"] if spec.batch_first else ["time", "batch"]
        hidden, cells = spec.hidden_size, len(spec.cells)

        def value(name: str, shape: list[str | int]) -> Any:
            return helper.make_tensor_value_info(name, element, shape)

        inputs = [value("input", [*axes, int(spec.cells[0].w_ih.shape[1])])]
        inputs += [value(name, [cells, "batch", hidden]) for name in states]
        outputs = [value("output", [*axes, spec.num_directions * hidden])]
        outputs += [value(name, [cells, "batch", hidden]) for name in finals]
        graph = helper.make_graph(self.nodes, spec.kind.upper(), inputs, outputs, self.initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
        )
        self.onnx.checker.check_model(model, full_check=True)
        return model


def _attributes(onnx_node: Any) -> dict[str, Any]:
    values = {}
    for each in onnx_node.attribute:
        values[each.name] = (
            [part.decode() for part in each.strings] or list(each.floats)
            or each.s.decode() or each.i or each.f
        )  # fmt: skip
    return values


def _check_attributes(node: Any) -> None:
    """Raise ConversionError for an option of an operator that torch.nn's layers do not have."""
    found = _attributes(node)
    place = f"the operator {node.op_type} {node.name or node.output[0]}"
    if node.op_type == "GRU" and not found.get("linear_before_reset"):
        raise ConversionError(
            f"{place} has linear_before_reset=0: r multiplies h before the matrix product, and "
            "torch.nn's GRU multiplies the product; export it with linear_before_reset=1"
        )
    if found.get("direction") == "reverse":
        raise ConversionError(
            f"{place} has direction=reverse: torch.nn has no layer that reads in reverse alone"
        )
    for name in ("clip", "input_forget", "layout"):
        if found.get(name):
            raise ConversionError(f"{place} has {name}={found[name]}, which torch.nn has not")
    usual = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
    used = found.get("activations")
    if (
        used
        and node.op_type in usual
        and used != usual[node.op_type] * (len(used) // len(usual[node.op_type]))
    ):
        raise ConversionError(f"{place} has activations={used}: torch.nn's are sigmoid and tanh")
    if used and node.op_type == "RNN" and (len(set(used)) > 1 or used[0] not in ("Tanh", "Relu")):
        raise ConversionError(f"{place} has activations={used}: torch.nn's are tanh or relu")
    for position, name in ((4, "sequence_lens"), (7, "peephole weights")):
        if len(node.input) > position and node.input[position]:
            raise ConversionError(f"{place} has {name}, which torch.nn's layers have not")


def _nonlinearity(nodes: list[Any]) -> str:
    used = {next(iter(_attributes(node).get("activations") or ["Tanh"])) for node in nodes}
    if nodes[0].op_type != "RNN":
        return "tanh"
    if len(used) > 1:
        raise ConversionError(f"the RNN operators have different activations: {sorted(used)}")
    return str(used.pop()).lower()
