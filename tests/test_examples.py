"""examples/: each trains, as its first line says, and can be looked into."""

import re
from pathlib import Path

import torch

from command_line.load_object import load_object
from scratch_cells import layer_of, trace
from tests.helpers.paths import ROOT
from tests.helpers.runs import metrics, run

EXAMPLE = ROOT / "examples" / "custom_cell.py"


def test_the_command_in_the_file_trains_the_cell(tmp_path: Path) -> None:
    (command,) = re.findall(r"python train.py (--implementation \S+)", EXAMPLE.read_text())
    option, named = command.split()
    arguments = (option, EXAMPLE.parent.parent / named, "--dataset", "digits", "--epochs", 6)
    done = run(*arguments, "--run-dir", tmp_path / "run", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert metrics(tmp_path / "run")["test_accuracy"] > 0.8


def test_the_cell_is_its_equations() -> None:
    torch.manual_seed(0)
    cell = load_object(f"{EXAMPLE}:UGRNNCell")
    layer = layer_of(cell)(3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    w, u = (getattr(layer, f"weight_{which}_l0") for which in ("ih", "hh"))
    b, d = (getattr(layer, f"bias_{which}_l0") for which in ("ih", "hh"))
    h = x.new_zeros(2, 4)
    for step, seen in zip(x, trace(layer, x).of().hidden, strict=True):
        a = step @ w.T + b + h @ u.T + d
        c, g = a[:, :4].tanh(), 1 / (1 + torch.exp(-a[:, 4:] - 1))
        h = g * h + (1 - g) * c
        torch.testing.assert_close(seen, h, rtol=1e-12, atol=1e-12)
