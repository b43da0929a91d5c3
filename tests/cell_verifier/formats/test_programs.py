"""Programs: what is right is equal, and each known fault of an export is found."""

import copy
import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scratch_cells
from cell_verifier import Report, verify
from cell_verifier.worker import judge_here
from tests.helpers.backends import needs_c


def layer_of(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(nn, kind.upper())(3, 4, **options).eval()


def checks(report: Report) -> dict[str, bool | None]:
    return {check.name: check.passed for check in report.checks}


# --- modules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("rnn", {}),
        ("gru", {"bidirectional": True, "batch_first": True}),
        ("lstm", {"num_layers": 2, "dropout": 0.5, "bias": False}),
    ],
)
def test_modules_are_equal(kind: str, options: dict[str, Any]) -> None:
    layer = layer_of(kind, **options)
    for module in (layer, torch.compile(layer, backend="eager", dynamic=True)):
        report = verify(module, kind)  # type: ignore[arg-type]
        assert report.verdict == "equal", str(report)
        assert checks(report)["gradients"]


def test_this_projects_layers_are_equal() -> None:
    report = verify(scratch_cells.LSTM(3, 4, 2, bidirectional=True), "lstm")
    assert report.verdict == "equal", str(report)


class Wrapped(nn.Module):
    """A layer whose input or results a function changes."""

    def __init__(self, layer: nn.Module, change: Callable[..., Any]) -> None:
        super().__init__()
        self.layer, self.change = layer, change

    def forward(self, x: Tensor, hx: Any) -> Any:
        return self.change(self.layer, x, hx)


def dropped(layer: Any, x: Tensor, hx: Any) -> Any:
    output, final = layer(x, hx)
    return nn.functional.dropout(output, 0.5), final


def first_five(layer: Any, x: Tensor, hx: Any) -> Any:
    return layer(x[:5], hx)


def three_samples(layer: Any, x: Tensor, hx: Any) -> Any:
    return layer(x + torch.zeros(3, 1), hx)


def zero_state(layer: Any, x: Tensor, hx: Any) -> Any:
    return layer(x, tuple(0 * part for part in hx) if isinstance(hx, tuple) else 0 * hx)


def not_flipped(layer: Any, x: Tensor, hx: Any) -> Any:
    output, final = layer(x, hx)
    forward, reverse = output.chunk(2, dim=-1)
    return torch.cat([forward, reverse.flip(0)], dim=-1), final


def exchanged(layer: Any, x: Tensor, hx: Any) -> Any:
    output, final = layer(x, hx)
    parts = final if isinstance(final, tuple) else (final,)
    flipped = tuple(part.flip(0) for part in parts)
    forward, reverse = output.chunk(2, dim=-1)
    return torch.cat([reverse, forward], dim=-1), flipped if len(flipped) > 1 else flipped[0]


def read_backwards(layer: Any, x: Tensor, hx: Any) -> Any:
    output, final = layer(x.flip(0), hx)
    return output.flip(0), final


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (exchanged, "directions-exchanged"),
        (read_backwards, "time-reversed"),
        (dropped, "dropout-active"),
        (first_five, "frozen-length"),
        (three_samples, "frozen-batch"),
        (zero_state, "state-not-used"),
        (not_flipped, "reverse-not-flipped"),
    ],
)
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_fault_of_the_call_is_found(kind: str, change: Callable[..., Any], mistake: str) -> None:
    layer = layer_of(kind, bidirectional=True)
    report = verify(Wrapped(layer, change), kind)  # type: ignore[arg-type]
    assert report.mistakes == (mistake,), str(report)


@pytest.mark.parametrize("place", ["", "_reverse"])
def test_a_fault_of_the_weights_is_found(place: str) -> None:
    layer = layer_of("lstm", bidirectional=True)
    exported = copy.deepcopy(layer)
    with torch.no_grad():
        for name in ("bias_ih_l0", "bias_hh_l0"):
            getattr(exported, name + place).zero_()
    report = verify(exported, "lstm", weights=layer.state_dict())
    assert report.mistakes == ("biases-dropped",)
    assert f"in the {'reverse' if place else 'forward'} direction" in report.diagnoses[0].detail


def test_a_lost_gradient_is_found() -> None:
    def detached(layer: Any, x: Tensor, hx: Any) -> Any:
        output, final = layer(x.detach(), hx)
        return output, final

    report = verify(Wrapped(layer_of("gru"), detached), "gru")
    assert {name for name, passed in checks(report).items() if passed is False} == {"gradients"}
    (check,) = [each for each in report.checks if each.name == "gradients"]
    assert check.detail == "no gradient of the input"


def test_a_lost_gradient_of_a_weight_is_found() -> None:
    layer = layer_of("gru")
    constant = layer.weight_hh_l0.detach()

    def closed_over(layer: Any, x: Tensor, hx: Any) -> Any:
        weights = dict(layer.named_parameters()) | {"weight_hh_l0": constant}
        return torch.func.functional_call(layer, weights, (x, hx))

    (check,) = [
        each for each in verify(Wrapped(layer, closed_over), "gru").checks if not each.passed
    ]
    assert (check.name, check.detail) == ("gradients", "no gradient of weight_hh_l0")


def test_a_change_of_the_input_is_found() -> None:
    def scaled(layer: Any, x: Tensor, hx: Any) -> Any:
        result = layer(x, hx)
        x.mul_(2)
        return result

    report = verify(Wrapped(layer_of("gru"), scaled), "gru")
    failed = {check.name: check.detail for check in report.checks if not check.passed}
    assert failed["deterministic"] == "a call changes its input in place"
    assert report.mistakes == ()


def test_dropout_that_does_not_act_in_training_is_found() -> None:
    class Dead(nn.LSTM):
        def train(self, mode: bool = True) -> "Dead":
            return super().train(False)

    torch.manual_seed(0)
    report = verify(Dead(3, 4, 2, dropout=0.5), "lstm")
    assert [name for name, passed in checks(report).items() if not passed] == ["train mode"]


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_quantised_layer_has_a_stated_tolerance() -> None:
    layer = nn.LSTM(16, 32).eval()
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {nn.LSTM})[0]
    report = verify(quantised, "lstm", weights=layer.state_dict())
    assert report.verdict == "different"
    assert "it is quantised: give the tolerance" in report.reason
    report = verify(quantised, "lstm", weights=layer.state_dict(), tolerance=0.05)
    assert report.verdict == "equal"
    assert "to a tolerance of 5e-02" in report.reason
    report = verify(layer, "lstm", tolerance=0.05)
    assert any("nothing is quantised" in note for note in report.notes)


# --- files of torch ------------------------------------------------------------------------------


class Loop(nn.Module):
    """A loop over time, which a recorder repeats for each step of its example."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = x.new_zeros(x.shape[1], 4)
        outputs = []
        for t in range(x.shape[0]):
            h = self.cell(x[t], h)
            outputs.append(h)
        return torch.stack(outputs), h[None]


@pytest.mark.filterwarnings("ignore::Warning")
def test_torchscript_with_a_frozen_length_is_found(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(Loop(), torch.randn(5, 2, 3)), tmp_path / "traced.pt")
    report = verify(tmp_path / "traced.pt", "gru")
    assert report.mistakes == ("frozen-length",), str(report)
    assert report.reason == "right for 5 time steps only: frozen-length"
    torch.jit.save(torch.jit.script(layer_of("lstm")), tmp_path / "scripted.pt")
    assert verify(tmp_path / "scripted.pt", "lstm").verdict == "equal"


@pytest.mark.filterwarnings("ignore::Warning")
def test_an_exported_program_with_frozen_sizes_is_found(tmp_path: Path) -> None:
    layer, file = layer_of("lstm"), tmp_path / "layer.pt2"
    torch.export.save(torch.export.export(layer, (torch.randn(5, 2, 3),)), file)
    report = judge_here(str(file), "lstm")
    assert report.mistakes == ("frozen-length", "frozen-batch"), str(report)
    # torch.export can have the batch dynamic, but not the length: its LSTM is unrolled.
    batch = torch.export.Dim("batch")
    exported = torch.export.export(layer, (torch.randn(5, 2, 3),), dynamic_shapes=({1: batch},))
    assert verify(exported, "lstm").mistakes == ("frozen-length",)


# --- functions -----------------------------------------------------------------------------------


def numpy_rnn(layer: nn.Module, drop_bias: bool = False) -> Callable[..., Any]:
    """A function of arrays with the weights of a layer of torch.nn, time first."""
    w_ih, w_hh, b_ih, b_hh = (part.detach().numpy() for part in layer.parameters())

    def run(x: Any, h: Any) -> Any:
        outputs, h = [], h[0]
        for x_t in x:
            h = np.tanh(x_t @ w_ih.T + b_ih + h @ w_hh.T + (0 if drop_bias else b_hh))
            outputs.append(h)
        return np.stack(outputs), h[None]

    return run


def test_a_function_of_numpy_arrays() -> None:
    layer = layer_of("rnn")
    weights = {name: part.numpy() for name, part in layer.state_dict().items()}
    assert verify(numpy_rnn(layer), "rnn", weights=weights).verdict == "equal"
    report = verify(numpy_rnn(layer, drop_bias=True), "rnn", weights=weights)
    assert report.mistakes == ("missing-bias",)


C_SOURCE = """
#include <math.h>
void rnn(const float *x, const float *w_ih, const float *w_hh, const float *b, float *out,
         int steps, int batch, int inputs, int units) {
  for (int t = 0; t < steps; t++)
    for (int n = 0; n < batch; n++)
      for (int j = 0; j < units; j++) {
        float a = b[j];
        for (int k = 0; k < inputs; k++)
          a += w_ih[j * inputs + k] * x[(t * batch + n) * inputs + k];
        for (int k = 0; t > 0 && k < units; k++)
          a += w_hh[j * units + k] * out[((t - 1) * batch + n) * units + k];
        out[(t * batch + n) * units + j] = tanhf(a);
      }
}
"""


@needs_c
def test_a_function_of_c(tmp_path: Path) -> None:
    (tmp_path / "rnn.c").write_text(C_SOURCE)
    library = tmp_path / "rnn.so"
    command = ["gcc", "-O1", "-shared", "-fPIC", tmp_path / "rnn.c", "-o", library, "-lm"]
    subprocess.run(command, check=True)
    function = ctypes.CDLL(str(library)).rnn
    layer = layer_of("rnn")
    w_ih, w_hh, b_ih, b_hh = (part.detach().numpy() for part in layer.parameters())
    bias = b_ih + b_hh

    def run(x: Any) -> Any:
        output = np.empty((*x.shape[:2], 4), np.float32)
        pointers = [each.ctypes.data_as(ctypes.c_void_p) for each in (x, w_ih, w_hh, bias, output)]
        function(*pointers, *x.shape, 4)
        return output

    report = verify(run, "rnn", weights=layer.state_dict() | {})
    assert report.verdict == "unchecked"  # state_dict holds tensors: the function receives tensors
    weights = {name: part.numpy() for name, part in layer.state_dict().items()}
    assert verify(run, "rnn", weights=weights).verdict == "equal"


# --- what cannot be checked ----------------------------------------------------------------------


def test_files_that_cannot_be_loaded_are_unchecked(tmp_path: Path) -> None:
    for name in ("layer.pt", "layer.pt2", "layer.onnx"):
        (tmp_path / name).write_bytes(b"nothing")
        report = verify(tmp_path / name, "gru")
        assert report.verdict == "unchecked"
        assert "cannot load" in report.reason or "is not installed" in report.reason
    assert "is not a file" in verify(tmp_path / "missing.onnx", "gru").reason
    (tmp_path / "layer.pb").write_bytes(b"")
    assert "unknown suffix" in verify(tmp_path / "layer.pb", "gru").reason


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"weight_ih_l0": np.ones((12, 3))}, "are not a whole layer"),
        ({"kernel": np.ones((12, 3))}, "do not have torch.nn's names"),
        ({"a.weight_ih_l0": np.ones(2), "b.weight_ih_l0": np.ones(3)}, "several layers: a, b"),
        ({"weight_ih_l0": np.ones((16, 3)), "weight_hh_l0": np.ones((16, 4))}, "check --against"),
    ],
)
def test_weights_that_do_not_fit_are_unchecked(weights: dict[str, Any], reason: str) -> None:
    report = verify(layer_of("gru"), "gru", weights=weights)
    assert report.verdict == "unchecked"
    assert reason in report.reason
