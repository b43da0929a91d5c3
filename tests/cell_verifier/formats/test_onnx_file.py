"""ONNX files: the faults of exporters are found, and weights without names."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cell_verifier import verify
from conversion import to_onnx
from tests.helpers.paths import ROOT

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def exported(kind: str, file: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Write a layer; return its weights."""
    torch.manual_seed(0)
    layer = getattr(nn, kind.upper())(3, 4, **options).eval()
    to_onnx(layer, file, initial_state=True)
    return dict(layer.state_dict())


def change_arrays(file: Path, change: Callable[[str, Any], Any]) -> None:
    """Replace the initializers of a file."""
    model = onnx.load(file)
    for each in model.graph.initializer:
        array = change(each.name, onnx.numpy_helper.to_array(each))
        each.CopyFrom(onnx.numpy_helper.from_array(array, each.name))
    onnx.save(model, file)


def change_attribute(file: Path, name: str, value: Any) -> None:
    model = onnx.load(file)
    for node in model.graph.node:
        if node.op_type in ("RNN", "GRU", "LSTM"):
            others = [each for each in node.attribute if each.name != name]
            del node.attribute[:]
            node.attribute.extend([*others, onnx.helper.make_attribute(name, value)])
    onnx.save(model, file)


def rows_in_torch_order(name: str, array: Any) -> Any:
    """The fault of an exporter that copies torch.nn's rows as they are."""
    if not name.startswith(("W", "R", "B")):
        return array
    blocks = array.reshape(len(array), -1, 4, *array.shape[2:])
    order = [0, 3, 1, 2] if blocks.shape[1] % 4 == 0 else [1, 0, 2]
    gates = len(order)
    split = blocks.reshape(len(array), -1, gates, *blocks.shape[2:])
    return split[:, :, np.argsort(order)].reshape(array.shape)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_rows_in_torch_order_are_found(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "layer.onnx"
    weights = exported(kind, file)
    change_arrays(file, rows_in_torch_order)
    report = verify(file, kind, weights=weights)  # type: ignore[arg-type]
    assert report.mistakes == ("gate-order",), str(report)


def test_linear_before_reset_is_found(tmp_path: Path) -> None:
    file = tmp_path / "layer.onnx"
    exported("gru", file)
    change_attribute(file, "linear_before_reset", 0)
    report = verify(file, "gru")
    assert report.mistakes == ("reset-before-matmul",)
    assert "linear_before_reset=0" in report.notes[0]


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_dropped_biases_are_found(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "layer.onnx"
    weights = exported(kind, file, num_layers=2)
    change_arrays(file, lambda name, array: 0 * array if name.startswith("B") else array)
    report = verify(file, kind, weights=weights)  # type: ignore[arg-type]
    assert report.mistakes == ("biases-dropped",), str(report)


def test_frozen_sizes_are_found(tmp_path: Path) -> None:
    file = tmp_path / "layer.onnx"
    exported("lstm", file, batch_first=True)
    model = onnx.load(file)
    for axis, size in enumerate((2, 6)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    onnx.save(model, file)
    report = verify(file, "lstm")
    assert report.mistakes == ("frozen-length", "frozen-batch")
    assert report.reason.startswith("right for 6 time steps and right for 2 samples only")


def test_two_operators_of_one_bidirectional_layer(tmp_path: Path) -> None:
    """As exporters write it that have no bidirectional operator."""
    helper, file = onnx.helper, tmp_path / "layer.onnx"
    torch.manual_seed(0)
    layer = nn.RNN(3, 4, bidirectional=True)
    arrays = {name: part.detach().numpy() for name, part in layer.named_parameters()}
    nodes, initializers = [], []
    for direction, suffix in (("reverse", "_l0_reverse"), ("forward", "_l0")):
        bias = np.concatenate([arrays[f"bias_{x}{suffix}"] for x in ("ih", "hh")])
        values = arrays[f"weight_ih{suffix}"], arrays[f"weight_hh{suffix}"], bias
        names = [f"{letter}{suffix}" for letter in "WRB"]
        initializers += [
            onnx.numpy_helper.from_array(each[None], name)
            for name, each in zip(names, values, strict=True)
        ]
        options = {"hidden_size": 4, "direction": direction}
        nodes.append(helper.make_node("RNN", ["x", *names], [f"y{suffix}"], **options))
    nodes.append(helper.make_node("Concat", ["y_l0", "y_l0_reverse"], ["y"], axis=1))
    value = helper.make_tensor_value_info
    inputs, outputs = [value("x", 1, ["t", "b", 3])], [value("y", 1, ["t", 2, "b", 4])]
    graph = helper.make_graph(nodes, "rnn", inputs, outputs, initializers)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
    report = verify(file, "rnn", weights=layer.state_dict())
    assert report.verdict == "equal", str(report)
    assert verify(file, "rnn").verdict == "equal"


def test_another_kind_is_unchecked(tmp_path: Path) -> None:
    file = tmp_path / "layer.onnx"
    exported("gru", file)
    report = verify(file, "lstm")
    assert report.verdict == "unchecked"
    assert "contains the operator GRU, not LSTM: give --against gru" in report.reason


def decomposed(file: Path, layer: nn.GRU) -> None:
    """Write one step of a GRU as matrix products with unnamed, transposed weights."""
    helper = onnx.helper
    arrays = {
        name: part.detach().numpy()
        for name, part in zip(("1", "2", "3", "4"), layer.parameters(), strict=True)
    }
    arrays["1"], arrays["2"] = arrays["1"].T, arrays["2"].T
    nodes = [
        helper.make_node("Squeeze", ["h", "zero"], ["h_0"]),
        helper.make_node("Squeeze", ["x", "zero"], ["x_0"]),
        helper.make_node("Gemm", ["x_0", "1", "3"], ["a"]),
        helper.make_node("Gemm", ["h_0", "2", "4"], ["b"]),
        helper.make_node("Split", ["a"], ["a_r", "a_z", "a_n"], axis=1, num_outputs=3),
        helper.make_node("Split", ["b"], ["b_r", "b_z", "b_n"], axis=1, num_outputs=3),
        helper.make_node("Add", ["a_r", "b_r"], ["r_sum"]),
        helper.make_node("Sigmoid", ["r_sum"], ["r"]),
        helper.make_node("Add", ["a_z", "b_z"], ["z_sum"]),
        helper.make_node("Sigmoid", ["z_sum"], ["z"]),
        helper.make_node("Mul", ["r", "b_n"], ["rb"]),
        helper.make_node("Add", ["a_n", "rb"], ["n_sum"]),
        helper.make_node("Tanh", ["n_sum"], ["n"]),
        helper.make_node("Sub", ["h_0", "n"], ["difference"]),
        helper.make_node("Mul", ["z", "difference"], ["kept"]),
        helper.make_node("Add", ["n", "kept"], ["new"]),
        helper.make_node("Unsqueeze", ["new", "zero"], ["output"]),
        helper.make_node("Identity", ["output"], ["h_n"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "gru",
        [value("x", 1, [1, "b", 3]), value("h", 1, [1, "b", 4])],
        [value("output", 1, [1, "b", 4]), value("h_n", 1, [1, "b", 4])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(v), n) for n, v in arrays.items()]
        + [onnx.numpy_helper.from_array(np.array([0]), "zero")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)


def test_weights_without_names_are_found_by_shape_and_value(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "layer.onnx"
    decomposed(file, nn.GRU(3, 4))
    report = verify(file, "gru")
    assert report.weights["1"] == "weight_ih (rows rzn)", str(report)
    assert report.weights["4"] == "bias_hh (rows rzn)"
    assert report.mistakes == ("frozen-length",)  # it is one step


def test_the_command_verifies_a_file(tmp_path: Path) -> None:
    weights = exported("gru", tmp_path / "layer.onnx")
    torch.save(weights, tmp_path / "weights.pt")
    command = [sys.executable, "-m", "cell_verifier", "layer.onnx", "--against", "gru"]
    done = subprocess.run(
        [*command, "--weights", "weights.pt", "--tolerance", "1e-4"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("equal  layer.onnx against gru: equal to torch.nn's GRU")
