"""ONNX: every option of the format, there and back, run by onnxruntime."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scratch_cells
from cell_verifier import verify
from conversion import ConversionError, from_onnx, to_onnx

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}), ("LSTM", {})]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx") / "layer.onnx"


def run(file: Path, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """What onnxruntime returns for a file."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    feeds = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
    return [torch.from_numpy(each) for each in session.run(None, feeds)]


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    batch_first=st.booleans(),
    initial_state=st.booleans(),
    time=st.integers(1, 30),
    batch=st.integers(1, 6),
)
def test_there_and_back_is_equal(
    file: Path,
    kind: tuple[str, dict[str, Any]],
    layers: int,
    bidirectional: bool,
    bias: bool,
    batch_first: bool,
    initial_state: bool,
    time: int,
    batch: int,
) -> None:
    torch.manual_seed(layers)
    name, options = kind
    layer = getattr(scratch_cells, name)(
        3, 4, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional, **options
    )
    to_onnx(layer, file, initial_state=initial_state)
    back = from_onnx(file)
    assert {key: each.tolist() for key, each in layer.state_dict().items()} == {
        key: each.tolist() for key, each in back.state_dict().items()
    }
    assert (back.bias, back.batch_first, back.bidirectional) == (bias, batch_first, bidirectional)
    assert getattr(back, "nonlinearity", "tanh") == options.get("nonlinearity", "tanh")

    x = torch.randn((batch, time, 3) if batch_first else (time, batch, 3))
    state = [
        torch.randn(layers * (1 + bidirectional), batch, 4) for _ in range(1 + (name == "LSTM"))
    ]
    hx = (state[0] if len(state) == 1 else tuple(state)) if initial_state else None
    with torch.no_grad():
        output, final = layer(x, hx)
    parts = final if isinstance(final, tuple) else (final,)
    results = run(file, x, *(state if initial_state else []))
    for got, expected in zip(results, (output, *parts), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_the_command_finds_the_weights_in_the_file(file: Path) -> None:
    to_onnx(scratch_cells.LSTM(3, 4, 2, bidirectional=True), file)
    report = verify(file, "lstm")
    assert report.verdict == "equal", str(report)
    assert report.weights["W_1"] == "weight_ih_l1 of each direction"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (torch.nn.LSTM(3, 4, proj_size=2), "proj_size=2, which ONNX, Keras and Flax have no place"),
        (torch.nn.Linear(3, 4), "layer is a Linear: expected an RNN, GRU or LSTM"),
        (torch.nn.GRU(3, 4, dtype=torch.float64), "call layer.float"),
    ],
)
def test_what_onnx_cannot_hold_is_an_error(
    layer: torch.nn.Module, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=message):
        to_onnx(layer, tmp_path / "layer.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "attribute", "message"),
    [
        ("GRU", ("linear_before_reset", 0), "linear_before_reset=0"),
        ("LSTM", ("direction", "reverse"), "direction=reverse"),
        ("LSTM", ("clip", 0.5), "clip=0.5"),
        ("LSTM", ("input_forget", 1), "input_forget=1"),
        ("LSTM", ("activations", ["HardSigmoid", "Tanh", "Tanh"]), "HardSigmoid"),
        ("RNN", ("activations", ["Affine"]), "Affine"),
    ],
)
def test_operators_that_torch_has_not_are_an_error(
    kind: str, attribute: tuple[str, Any], message: str, file: Path
) -> None:
    to_onnx(getattr(scratch_cells, kind)(3, 4), file)
    change_attribute(file, *attribute)
    with pytest.raises(ConversionError, match=message):
        from_onnx(file)


def test_a_file_that_computes_more_is_an_error(file: Path) -> None:
    to_onnx(scratch_cells.GRU(3, 4), file)
    model = onnx.load(file)
    last = next(node for node in model.graph.node if node.output[0] == "output")
    last.op_type = "Neg"
    onnx.save(model, file)
    with pytest.raises(ConversionError, match="does not equal the layer"):
        from_onnx(file)


def test_a_file_for_one_size_is_read(file: Path) -> None:
    layer = scratch_cells.GRU(3, 4, batch_first=True)
    to_onnx(layer, file)
    model = onnx.load(file)
    for axis, size in enumerate((2, 6)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    onnx.save(model, file)
    back, x = from_onnx(file), torch.randn(3, 7, 3)
    assert back.batch_first
    torch.testing.assert_close(back(x)[0], layer(x)[0], rtol=1e-6, atol=1e-6)


def test_a_conversion_with_rows_in_a_wrong_order_is_found(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("conversion.onnx").onnx.ONNX_GATES, "lstm", "iofg"[::-1])
    with pytest.raises(ConversionError, match="gate-order"):
        to_onnx(scratch_cells.LSTM(3, 4), file)


def change_attribute(file: Path, name: str, value: Any) -> None:
    """Replace an attribute of the recurrent operators of a file."""
    model = onnx.load(file)
    for node in model.graph.node:
        if node.op_type in ("RNN", "GRU", "LSTM"):
            others = [each for each in node.attribute if each.name != name]
            del node.attribute[:]
            node.attribute.extend([*others, onnx.helper.make_attribute(name, value)])
    onnx.save(model, file)


def test_an_unknown_suffix_is_an_error() -> None:
    with pytest.raises(ConversionError, match="expected a name that ends in"):
        to_onnx(scratch_cells.RNN(2, 2), "layer.pb")
