"""examples/: every command in the files works, and the cells equal their equations."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from examples.custom_cell import UGRNNCell
from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells import Cell, layer_of, trace
from tests.helpers.paths import ROOT
from tests.helpers.runs import ENVIRONMENT, metrics, run_here

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
@pytest.mark.usefixtures("blank_plots")
@pytest.mark.parametrize("name", ["custom_cell", "minimal_gated_cell"])
def test_the_command_in_the_file_trains_the_cell(name: str, tmp_path: Path) -> None:
    source = (EXAMPLES / f"{name}.py").read_text()
    (command,) = re.findall(r"python train.py (--implementation \S+)", source)
    option, implementation = command.split()
    arguments = (option, ROOT / implementation, "--dataset", "digits", "--epochs", 6)
    done = run_here(*arguments, "--run-dir", tmp_path / "run", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert metrics(tmp_path / "run")["test_accuracy"] > 0.8


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def update_gate_rnn(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor, d: Tensor) -> Tensor:
    a = x @ w.T + b + h @ u.T + d
    c, g = a[:, :4].tanh(), sigmoid(a[:, 4:] + 1)
    return g * h + (1 - g) * c


def minimal_gated_unit(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor, d: Tensor) -> Tensor:
    f = sigmoid(x @ w[:4].T + b[:4] + h @ u[:4].T + d[:4])
    n = torch.tanh(x @ w[4:].T + b[4:] + (f * h) @ u[4:].T + d[4:])
    return (1 - f) * h + f * n


@pytest.mark.parametrize(
    ("cell_class", "equations"),
    [(UGRNNCell, update_gate_rnn), (MinimalGatedCell, minimal_gated_unit)],
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_cell_equals_its_equations(
    cell_class: type[Cell], equations: Callable[..., Tensor], bias: bool
) -> None:
    torch.manual_seed(0)
    layer = layer_of(cell_class)(3, 4, bias=bias, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    weights = [layer.weight_ih_l0, layer.weight_hh_l0]
    biases = [layer.bias_ih_l0, layer.bias_hh_l0] if bias else [x.new_zeros(8), x.new_zeros(8)]
    h = x.new_zeros(2, 4)
    for x_t, hidden in zip(x, trace(layer, x).of().hidden, strict=True):
        h = equations(x_t, h, *weights, *biases)
        torch.testing.assert_close(hidden, h, rtol=1e-12, atol=1e-12)


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )


def test_verify_a_cell_reports_the_mistake_and_then_none() -> None:
    source = (EXAMPLES / "verify_a_cell.py").read_text()
    (module,) = re.findall(r"python -m (examples\.\S+)", source)
    done = run_module(module)
    assert (done.returncode, done.stderr) == (0, "")
    wrong, correct = done.stdout.split("CorrectLSTMCell")
    assert "missing-output-tanh" in wrong
    assert "missing-output-tanh" not in correct
    assert "FAILED" not in correct


def test_verify_a_cell_works_on_the_command_line() -> None:
    source = (EXAMPLES / "verify_a_cell.py").read_text()
    (command,) = re.findall(r"python -m (cell_verifier .*)", source)
    done = run_module(*command.split())
    assert (done.returncode, done.stderr) == (1, "")
    assert "missing-output-tanh" in done.stdout
