"""A cell of any calling convention can be trained, with several layers and directions."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from command_line.errors import ConfigError
from shared_interface import ImplementationError
from tests.helpers.paths import ROOT
from tests.helpers.runs import run_here
from tests.training_loop import conventions
from training_loop.adapted_layer import AdaptedLayer
from training_loop.config import Config
from training_loop.model import build_model, describe_backend

FILE = ROOT / "tests" / "training_loop" / "conventions.py"
LSTM_CELLS = [
    "PairOfStates",
    "SeparateStates",
    "JoinedState",
    "DictionaryOfStates",
    "BatchFirstLayer",
    "LayerWithoutState",
]
RNN_CELLS = ["StateFirst", "KeywordState", "WithHead"]


def build(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    config = Config(cell=None, implementation=f"{FILE}:{name}", hidden_size=6, **options)
    return build_model(config, input_size=3, num_outputs=4).layer


@pytest.mark.parametrize("name", [*LSTM_CELLS, *RNN_CELLS])
def test_every_parameter_is_trained(name: str) -> None:
    layer = build(name, num_layers=2, bidirectional=True)
    assert isinstance(layer, AdaptedLayer)
    output, state = layer(torch.randn(5, 7, 3))
    assert output.shape == (5, 7, 12)
    h = state[0] if isinstance(state, tuple) else state
    assert h.shape == (4, 5, 6)
    output.sum().backward()
    missing = [n for n, p in layer.named_parameters() if p.grad is None and "top" not in n]
    assert missing == []


@pytest.mark.parametrize("name", LSTM_CELLS)
def test_the_adapted_layer_equals_torch_nn(name: str) -> None:
    layer = build(name, num_layers=2, bidirectional=True)
    torch_layer = nn.LSTM(3, 6, num_layers=2, bidirectional=True, batch_first=True)
    own = [part for cell in layer.cells for part in (cell.of_x, cell.of_h)]
    with torch.no_grad():
        for n, (of_x, of_h) in enumerate(zip(own[::2], own[1::2], strict=True)):
            suffix = f"l{n // 2}{'_reverse' if n % 2 else ''}"
            for side, linear in (("ih", of_x), ("hh", of_h)):
                getattr(torch_layer, f"weight_{side}_{suffix}").copy_(linear.weight)
                getattr(torch_layer, f"bias_{side}_{suffix}").copy_(linear.bias)
    x = torch.randn(5, 7, 3)
    output, state = layer(x)
    h = state[0] if isinstance(state, tuple) else state  # a layer may return no c
    expected, (h_n, _) = torch_layer(x)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(h, h_n)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NotRecurrent", "computes none of torch.nn's RNN, GRU and LSTM"),
        ("WithoutGradient", "it makes a WithoutGradient, expected an nn.Module"),
    ],
)
def test_what_cannot_be_adapted_is_one_line(name: str, message: str) -> None:
    with pytest.raises(ImplementationError, match=re.escape(message)) as raised:
        build(name)
    assert "\n" not in str(raised.value)


def test_an_adapted_layer_has_no_backends() -> None:
    with pytest.raises(ConfigError, match="has no backends"):
        build("PairOfStates", backend="c")


def test_the_calling_convention_is_reported() -> None:
    config = Config(cell=None, implementation=f"{FILE}:PairOfStates")
    text = describe_backend(config, build("PairOfStates"), torch.zeros(1, 2, 3))
    assert text == "the layer's own, called as a cell: cell(x, (h, c)) returns (h, c)"


@pytest.mark.usefixtures("blank_plots")
def test_train_py_trains_a_cell(tmp_path: Path) -> None:
    options = ("--dataset", "digits", "--epochs", 1, "--hidden-size", 8, "--run-dir", "run")
    own = f"{FILE}:{conventions.DictionaryOfStates.__name__}"
    done = run_here(*options, "--implementation", own, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "called as a cell: cell(x, (h, c)) returns (h, c)" in done.stdout
    assert "result  digits: test accuracy" in done.stdout
