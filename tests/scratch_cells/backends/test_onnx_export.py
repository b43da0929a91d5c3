"""torch.onnx.export of models that contain the layers, run by onnxruntime at other sizes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import scratch_cells
from scratch_cells.recurrent_stack import RecurrentStack

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporters
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:# The axis name:UserWarning"),  # of two inputs
    pytest.mark.filterwarnings("ignore:Exporting a model to ONNX with a batch_size:UserWarning"),
]

KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}), ("LSTM", {})]


class Model(nn.Module):
    """Two convolved features -> layer -> logits and final state, with or without initial state."""

    def __init__(self, layer: RecurrentStack) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, kernel_size=1)
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size * (1 + layer.bidirectional), 5)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        x = (
            self.conv(x).permute(0, 2, 1)
            if self.layer.batch_first
            else self.conv(x).permute(2, 0, 1)
        )
        hx = (state[0] if len(state) == 1 else state) if state else None
        outputs, final = self.layer(x, hx)
        return self.head(outputs), *(final if isinstance(final, tuple) else (final,))


def draw(model: Model, batch: int, time: int, with_state: bool) -> tuple[Tensor, ...]:
    layer = model.layer
    cells, parts = len(layer.cells), 1 + isinstance(layer, scratch_cells.LSTM)
    state = [torch.randn(cells, batch, layer.hidden_size) for _ in range(parts)]
    return torch.randn(batch, 2, time), *(state if with_state else [])


def run(file: Path, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    feeds = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
    return [torch.from_numpy(each) for each in session.run(None, feeds)]


def export(model: Model, example: tuple[Tensor, ...], file: Path, dynamo: bool) -> None:
    """Export a model with dynamic batch and time, by the current exporter or by the older one."""
    axes = [{0: "batch", 2: "time"}, *[{1: "batch"}] * (len(example) - 1)]
    names = ["x", "h_0", "c_0"][: len(example)]
    if dynamo:
        shapes = (axes[0], tuple(axes[1:])) if axes[1:] else (axes[0],)
        torch.onnx.export(
            model.eval(), example, file, dynamo=True, dynamic_shapes=shapes, verbose=False
        )
    else:
        dynamic_axes = dict(zip(names, axes, strict=True))
        torch.onnx.export(
            model.eval(), example, file, dynamo=False, input_names=names, dynamic_axes=dynamic_axes
        )


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [True, False])
@settings(
    max_examples=5,
    phases=[Phase.generate],  # an export takes a second: to shrink would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(KINDS),
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    batch_first=st.booleans(),
    with_state=st.booleans(),
    exported_at=st.integers(2, 6),
    run_at=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 60)), min_size=1, max_size=3),
)
def test_an_exported_model_is_right_at_every_length_and_batch(
    tmp_path: Path,
    dynamo: bool,
    kind: tuple[str, dict[str, Any]],
    layers: int,
    bidirectional: bool,
    bias: bool,
    batch_first: bool,
    with_state: bool,
    exported_at: int,
    run_at: list[tuple[int, int]],
) -> None:
    torch.manual_seed(exported_at)
    name, options = kind
    layer = getattr(scratch_cells, name)(
        3, 4, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional, **options
    )
    model = Model(layer)
    export(model, draw(model, 2, exported_at, with_state), tmp_path / "model.onnx", dynamo)
    for batch, time in ((1, 1), *run_at):
        inputs = draw(model, batch, time, with_state)
        with torch.no_grad():
            right = model(*inputs)
        for got, expected in zip(run(tmp_path / "model.onnx", inputs), right, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_an_exported_program_is_converted_too(tmp_path: Path) -> None:
    layer = scratch_cells.GRU(3, 4)
    shapes = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(layer, (torch.randn(5, 2, 3),), dynamic_shapes=shapes)
    torch.onnx.export(program, f=tmp_path / "layer.onnx", dynamo=True, verbose=False)
    x = torch.randn(31, 1, 3)
    output, _ = run(tmp_path / "layer.onnx", (x,))
    torch.testing.assert_close(output, layer(x)[0].detach(), rtol=1e-5, atol=1e-6)


class OwnCell(scratch_cells.GRUCell):
    """A cell without a kernel."""


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (scratch_cells.LSTM(3, 4, proj_size=2), "cannot record ProjectedLSTMCell by the reference"),
        (scratch_cells.layer_of(OwnCell)(3, 4), "cannot record OwnCell by the reference loop"),
        (scratch_cells.GRU(3, 4, dtype=torch.float64), r"call model\.float\(\)"),
    ],
)
def test_what_the_file_cannot_hold_is_one_clear_error(
    layer: RecurrentStack, message: str, tmp_path: Path
) -> None:
    """With AUTO, the exporter writes a file with a free length that is right for 5 steps only."""
    x = torch.randn(5, 2, 3, dtype=next(layer.parameters()).dtype)
    shapes = (dict.fromkeys((0, 1), torch.export.Dim.AUTO),)
    with pytest.raises(RuntimeError, match=message):
        torch.onnx.export(
            layer.eval(), (x,), tmp_path / "layer.onnx", dynamic_shapes=shapes, verbose=False
        )
    assert list(tmp_path.iterdir()) == []


def test_a_loop_of_a_static_length_is_exported(tmp_path: Path) -> None:
    layer, x = scratch_cells.LSTM(3, 4, proj_size=2).eval(), torch.randn(3, 2, 3)
    torch.onnx.export(layer, (x,), tmp_path / "layer.onnx", dynamo=True, verbose=False)
    output = run(tmp_path / "layer.onnx", (x,))[0]
    torch.testing.assert_close(output, layer(x)[0].detach(), rtol=1e-5, atol=1e-6)
