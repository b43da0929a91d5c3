"""Read an ONNX file, run it by onnxruntime, and find the weights of its recurrent operators.

ONNX stacks the rows of an LSTM in the order i, o, f, c and those of a GRU in the order z, r, h.
Both biases of a cell are one array: that of the input, then that of the state.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.program import Program
from cell_verifier.formats.weights import LayerWeights, cell_weights
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind
from command_line.errors import own_line

GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
"""For each of torch.nn's gates, its place in ONNX's rows."""

DTYPES = {1: torch.float32, 10: torch.float16, 11: torch.float64}
"""ONNX's data types of an input."""


def open_onnx(path: Path, kind: Kind) -> Program:
    """The program in an ONNX file.

    Raises:
        CannotCheckError: onnx or onnxruntime is not installed, or the file cannot be loaded.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise CannotCheckError(
            f"{path.name} is an ONNX file, and {error.name} is not installed: "
            "pip install onnx onnxruntime"
        ) from error
    try:
        model = onnx.load(path)
        session = _session(onnxruntime, path)
    except Exception as error:
        raise CannotCheckError(f"cannot load {path}: {own_line(error)}") from error
    inputs = session.get_inputs()
    names = [each.name for each in inputs]

    def run(*tensors: Tensor) -> list[Tensor]:
        feeds = {name: part.numpy() for name, part in zip(names, tensors, strict=True)}
        return [torch.from_numpy(np.asarray(part)) for part in session.run(None, feeds)]

    graph = model.graph
    nodes = [node for node in graph.node if node.op_type in GATES]
    return Program(
        name=path.name,
        run=run,
        arrays=_arrays(onnx, graph),
        weights=_operator_weights(onnx, onnxruntime, model, nodes, kind),
        dtype=_dtype(graph, names[0]),
        sizes=_declared_sizes(inputs[0].shape),
        state_forms=("separate",) if len(inputs) > 1 else ("none",),
        hints=tuple(hint for node in nodes for hint in _hints(node)),
        is_quantised=any(
            "Quantize" in node.op_type or "Integer" in node.op_type for node in graph.node
        ),
    )


def _session(onnxruntime: Any, source: Path | bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a failed call is part of the report
    argument = str(source) if isinstance(source, Path) else source
    return onnxruntime.InferenceSession(argument, options, providers=["CPUExecutionProvider"])


def _dtype(graph: Any, name: str) -> torch.dtype:
    (element,) = [
        each.type.tensor_type.elem_type for each in graph.input if each.name == name
    ]  # the initializers may be listed as inputs, too
    return DTYPES.get(element, torch.float32)


def _declared_sizes(shape: Sequence[Any]) -> tuple[int | None, int | None]:
    first, second = (each if isinstance(each, int) else None for each in [*shape, None, None][:2])
    return first, second


def _arrays(onnx: Any, graph: Any) -> dict[str, Tensor]:
    """The initializers of a graph, and the values of its Constant nodes, by name."""
    arrays = {each.name: each for each in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                arrays[node.output[0]] = attribute.t
    read = onnx.numpy_helper.to_array
    return {name: torch.tensor(read(each)) for name, each in arrays.items()}


def _operator_weights(
    onnx: Any, onnxruntime: Any, model: Any, nodes: Sequence[Any], kind: Kind
) -> LayerWeights | None:
    """The weights of the LSTM, GRU or RNN operators, one for each layer; None if there are none.

    Raises:
        CannotCheckError: the operators are of another kind, or compute their weights from x.
    """
    if not nodes:
        return None
    for node in nodes:
        if node.op_type != kind.title:
            raise CannotCheckError(
                f"it contains the operator {node.op_type}, not {kind.title}: "
                f"give --against {node.op_type.lower()}"
            )
    operands = [name for node in nodes for name in node.input[1:4] if name]
    values = _constants(onnx, onnxruntime, model, operands)
    layers: dict[str, list[Any]] = {}
    for node in nodes:  # a bidirectional layer can be two operators that read the same tensor
        layers.setdefault(node.input[0], []).append(node)
    cells: list[Weights] = []
    names: dict[str, str] = {}
    for layer, members in enumerate(layers.values()):
        for node in sorted(members, key=_is_reverse):
            w_name, r_name, b_name = [*node.input, "", ""][1:4]
            w, r = values[w_name], values[r_name]
            rows = w.shape[1]
            b = values[b_name] if b_name else torch.zeros(len(w), 2 * rows)
            names |= {w_name: f"weight_ih_l{layer} of each direction"}
            names |= {r_name: f"weight_hh_l{layer} of each direction"}
            names |= {b_name: f"bias_ih_l{layer} and bias_hh_l{layer}"} if b_name else {}
            for one in zip(w, r, b[:, :rows], b[:, rows:], strict=True):
                cells.append(cell_weights(kind, *(_in_torch_order(part, kind) for part in one)))
    return LayerWeights(tuple(cells), len(cells) // len(layers), names)


def _is_reverse(node: Any) -> bool:
    return any(each.name == "direction" and each.s == b"reverse" for each in node.attribute)


def _in_torch_order(part: Tensor, kind: Kind) -> Tensor:
    order = GATES[kind.title]
    blocks: Tensor = part.unflatten(0, (len(order), -1))
    return blocks[list(order)].flatten(0, 1)


def _constants(
    onnx: Any, onnxruntime: Any, model: Any, names: Sequence[str]
) -> Mapping[str, Tensor]:
    """The values of tensors that do not depend on the inputs, computed by the nodes before them."""
    known = {each.name for each in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    needed, open_names = set(), set(names) - known
    while open_names:
        name = open_names.pop()
        if name not in makers:
            raise CannotCheckError(
                f"the weight {name!r} of an operator is an input of the file: "
                "give the weights as initializers"
            )
        needed.add(name)
        open_names |= set(makers[name].input) - known - needed - {""}
    nodes = [node for node in model.graph.node if needed & set(node.output)]
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names)]
    nodes = [
        *nodes,
        *(
            onnx.helper.make_node("Identity", [each.name], [f"{each.name} value"])
            for each in outputs
        ),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "weights",
        [],
        [onnx.helper.make_empty_tensor_value_info(f"{each.name} value") for each in outputs],
        model.graph.initializer,
    )
    constants = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    found = _session(onnxruntime, constants.SerializeToString()).run(None, {})
    return {
        each.name: torch.from_numpy(np.array(value))
        for each, value in zip(outputs, found, strict=True)
    }


def _hints(node: Any) -> list[str]:
    """Attributes of an operator with which it does not compute what torch.nn does."""
    attributes = {each.name: each for each in node.attribute}
    place = f"the operator {node.op_type} {node.name or node.output[0]}"
    hints = []
    if node.op_type == "GRU" and not (
        "linear_before_reset" in attributes and attributes["linear_before_reset"].i
    ):
        hints.append(
            f"{place} has linear_before_reset=0: r multiplies h before the matrix product; "
            "torch.nn's GRU is linear_before_reset=1"
        )
    if "clip" in attributes:
        hints.append(f"{place} has clip={attributes['clip'].f:g}; torch.nn clips nothing")
    if "input_forget" in attributes and attributes["input_forget"].i:
        hints.append(f"{place} has input_forget=1, which couples the input and forget gates")
    if "activations" in attributes:
        used = [each.decode() for each in attributes["activations"].strings]
        usual = {"RNN": {"Tanh"}, "GRU": {"Sigmoid", "Tanh"}, "LSTM": {"Sigmoid", "Tanh"}}
        if set(used) - usual[node.op_type]:
            hints.append(f"{place} has activations={used}; torch.nn's are sigmoid and tanh")
    if len(node.input) > 7 and node.input[7]:
        hints.append(f"{place} has peephole weights; torch.nn has none")
    return hints
