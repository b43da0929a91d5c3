"""training_loop/model.py: a flag becomes a classifier, or one line that says why not."""

from pathlib import Path

import pytest
import torch

from shared_interface import ImplementationError, SequenceClassifier
from tests.helpers.paths import ROOT
from training_loop.config import Config
from training_loop.model import build_model, count_parameters

OWN_CELL = f"{ROOT / 'examples' / 'minimal_gated_cell.py'}:MinimalGatedCell"


def build(seed: int = 0, **options: object) -> SequenceClassifier:
    torch.manual_seed(seed)
    return build_model(Config(hidden_size=6, **options), input_size=3, num_classes=4)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_scratch_and_builtin_draw_the_same_weights(cell: str, bidirectional: bool) -> None:
    models = []
    for implementation in ("scratch", "builtin"):
        model = build(cell=cell, implementation=implementation, bidirectional=bidirectional)
        models.append((model.state_dict(), torch.get_rng_state()))
    (scratch, after_scratch), (builtin, after_builtin) = models
    assert list(scratch) == list(builtin)
    assert all(torch.equal(scratch[name], builtin[name]) for name in builtin)
    assert torch.equal(after_scratch, after_builtin)


def test_the_options_reach_the_layer() -> None:
    options = {"num_layers": 3, "dropout": 0.25, "bidirectional": True}
    model = build(cell="gru", implementation="builtin", **options)
    assert isinstance(model.layer, torch.nn.GRU)
    assert (model.layer.input_size, model.layer.hidden_size, model.layer.num_layers) == (3, 6, 3)
    assert model.layer.batch_first
    assert (model.layer.dropout, model.layer.bidirectional) == (0.25, True)
    assert model.training
    assert model(torch.randn(5, 7, 3)).shape == (5, 4)


def test_trying_the_layer_takes_nothing_from_the_generator() -> None:
    build(implementation="builtin", dropout=0.5)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    SequenceClassifier(torch.nn.LSTM(3, 6, num_layers=2, dropout=0.5), 4)
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("options", [{}, {"num_layers": 3}, {"bidirectional": True}])
def test_a_users_cell_becomes_a_layer(options: dict[str, int]) -> None:
    model = build(implementation=OWN_CELL, **options)
    assert model(torch.randn(5, 7, 3)).shape == (5, 4)


def test_a_class_with_torchs_signature_is_taken_as_it_is() -> None:
    assert type(build(implementation="torch.nn:GRU").layer) is torch.nn.GRU


def test_parameters_are_counted() -> None:
    model = build(cell="rnn", implementation="builtin", num_layers=1)
    assert count_parameters(model) == 6 * 3 + 6 * 6 + 6 + 6 + (4 * 6 + 4)
    model.readout.bias.requires_grad_(False)
    assert count_parameters(model) == 6 * 3 + 6 * 6 + 6 + 6 + 4 * 6


BAD_FILE = """
import torch
from scratch_cells import Cell

class Raises(torch.nn.LSTM):
    def __init__(self, *args, **kwargs):
        raise RuntimeError("no\\n  such thing")

class TimeFirst(torch.nn.LSTM):
    def __init__(self, *args, batch_first, **kwargs):
        super().__init__(*args, **kwargs)
        self.batch_first = False

class NoState(torch.nn.LSTM):
    def forward(self, input, hx=None):
        return super().forward(input, hx)[0]

class Unfinished(Cell):
    pass
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raises", "RuntimeError: no such thing"),
        ("TimeFirst", r"expected \(2, 4\)"),
        ("NoState", "Error"),
        ("Unfinished", "TypeError: .*abstract"),
        ("torch", "expected a class"),
        ("Missing", "has no 'Missing'"),
    ],
)
def test_a_class_that_is_no_layer_is_told_in_one_line(
    tmp_path: Path, name: str, reason: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(BAD_FILE)
    with pytest.raises(ImplementationError, match=reason) as error:
        build(implementation=f"{path}:{name}")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_size_beyond_memory_is_told_in_one_line() -> None:
    with pytest.raises(ImplementationError, match="builtin lstm cannot be used: RuntimeError"):
        build_model(Config(hidden_size=10**10, implementation="builtin"), 3, 4)
