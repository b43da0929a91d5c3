"""training_loop/model.py: an implementation becomes a classifier, or a one-line error."""

from pathlib import Path

import pytest
import torch

from command_line.errors import ConfigError
from sequenced_mnist import SEQUENCES, to_sequences
from shared_interface import ImplementationError, SequenceClassifier
from tests.helpers.paths import ROOT
from training_loop.config import Config
from training_loop.model import build_model, count_parameters, describe_backend

OWN_CELL = f"{ROOT / 'examples' / 'minimal_gated_cell.py'}:MinimalGatedCell"


def build(seed: int = 0, **options: object) -> SequenceClassifier:
    torch.manual_seed(seed)
    return build_model(Config(hidden_size=6, **options), input_size=3, num_outputs=4)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_scratch_and_builtin_have_the_same_initial_weights(cell: str, bidirectional: bool) -> None:
    models = []
    for implementation in ("scratch", "builtin"):
        model = build(cell=cell, implementation=implementation, bidirectional=bidirectional)
        models.append((model.state_dict(), torch.get_rng_state()))
    (scratch, after_scratch), (builtin, after_builtin) = models
    assert list(scratch) == list(builtin)
    assert all(torch.equal(scratch[name], builtin[name]) for name in builtin)
    assert torch.equal(after_scratch, after_builtin)


def test_the_layer_has_the_sizes_of_the_configuration() -> None:
    options = {"num_layers": 3, "dropout": 0.25, "bidirectional": True}
    model = build(cell="gru", implementation="builtin", **options)
    assert isinstance(model.layer, torch.nn.GRU)
    assert (model.layer.input_size, model.layer.hidden_size, model.layer.num_layers) == (3, 6, 3)
    assert model.layer.batch_first
    assert (model.layer.dropout, model.layer.bidirectional) == (0.25, True)
    assert model.training
    assert model(torch.randn(5, 7, 3)).shape == (5, 4)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("implementation", ["scratch", "builtin"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_readout_reads_the_output_of_the_last_step_only(
    sequence: str, implementation: str, cell: str
) -> None:
    images = torch.randint(256, (3, 5, 5), dtype=torch.uint8)
    x = to_sequences(images, sequence)
    torch.manual_seed(0)
    config = Config(cell=cell, implementation=implementation, hidden_size=6)
    model = build_model(config, x.size(2), num_outputs=4)
    output, _ = model.layer(x)
    last = output[:, -1].detach()
    torch.testing.assert_close(model(x), model.readout(last), rtol=0, atol=1e-6)


def test_checking_the_output_does_not_use_the_random_generator() -> None:
    build(implementation="builtin", dropout=0.5)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    SequenceClassifier(torch.nn.LSTM(3, 6, num_layers=2, dropout=0.5), 4)
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("options", [{}, {"num_layers": 3}, {"bidirectional": True}])
def test_a_users_cell_becomes_a_layer(options: dict[str, int]) -> None:
    model = build(implementation=OWN_CELL, **options)
    assert model(torch.randn(5, 7, 3)).shape == (5, 4)


def test_a_class_with_the_signature_of_torch_nn_is_used_unchanged() -> None:
    assert type(build(implementation="torch.nn:GRU").layer) is torch.nn.GRU


@pytest.mark.parametrize("implementation", ["scratch", OWN_CELL])
def test_the_backend_reaches_the_layer(implementation: str) -> None:
    layer = build(implementation=implementation, backend="plain").layer
    assert layer.backend_for(torch.randn(2, 5, 3)).name == "plain"


@pytest.mark.parametrize("implementation", ["builtin", "torch.nn:GRU"])
def test_a_backend_for_a_layer_without_backends_is_an_error(implementation: str) -> None:
    with pytest.raises(ConfigError, match=r"^backend is c: .* has no backends; expected auto"):
        build(implementation=implementation, backend="c")


@pytest.mark.parametrize(
    ("options", "description"),
    [
        ({"backend": "plain"}, "plain: requested"),
        ({"backend": "bptt"}, "bptt: requested"),
        ({"compile": True}, "operator: torch.compile records one operator for each cell"),
        ({"implementation": "builtin"}, "torch.nn"),
    ],
)
def test_the_backend_is_described(options: dict[str, object], description: str) -> None:
    config = Config(hidden_size=6, **options)
    layer = build_model(config, input_size=3, num_outputs=4).layer
    assert describe_backend(config, layer, torch.randn(2, 5, 3)) == description


def test_a_layer_of_another_kind_computes_by_itself() -> None:
    assert describe_backend(Config(), torch.nn.Linear(3, 3), torch.ones(3)) == "the layer's own"


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
        ("TimeFirst", r"final state that is .*, batch 2, hidden_size"),
        ("NoState", r"own.py:15: forward\(\) returned a tensor of shape .* expected \(output, fin"),
        ("Unfinished", "TypeError: .*abstract"),
        ("torch", "expected a class"),
        ("Missing", "has no 'Missing'"),
    ],
)
def test_a_class_that_is_not_a_layer_is_a_one_line_error(
    tmp_path: Path, name: str, reason: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(BAD_FILE)
    with pytest.raises(ImplementationError, match=reason) as error:
        build(implementation=f"{path}:{name}")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


CELL = """
from typing import NamedTuple
import torch
from torch import Tensor
from scratch_cells import Cell

class Good(Cell):
    class Gates(NamedTuple):
        forget: Tensor
        candidate: Tensor

    state_names = ("hidden", "cell")

    def gates(self, projected, state):
        f, n = (projected + self.hidden_to_hidden(state[0])).chunk(2, dim=-1)
        return self.Gates(torch.sigmoid(f), torch.tanh(n))

    def update(self, gates, state):
        c = gates.forget * state[1] + gates.candidate
        return torch.tanh(c), c

class OnePart(Good):
    def update(self, gates, state):
        return super().update(gates, state)[0]

class ThreeParts(Good):
    def update(self, gates, state):
        return (*super().update(gates, state), state[0])

class Transposed(Good):
    def update(self, gates, state):
        h, c = super().update(gates, state)
        return h.T, c

class HalfGates(Good):
    def update(self, gates, state):
        h, c = super().update(gates, state)
        return h[:, :3], c

class PlainTuple(Good):
    def gates(self, projected, state):
        return tuple(super().gates(projected, state))

class NoReturn(Good):
    def step(self, projected, state):
        pass

class Raises(Good):
    def update(self, gates, state):
        return gates.forget @ state[1]
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "OnePart",
            "update() returned a state that is a tensor of shape (2, 6), expected hidden "
            "(2, 6), cell (2, 6) for a batch of 2",
        ),
        ("ThreeParts", "update() returned a state that is a tuple of (2, 6) and (2, 6) and (2, 6)"),
        ("Transposed", "update() returned a state that is a tuple of (6, 2) and (2, 6), expected"),
        ("HalfGates", "update() returned a state that is a tuple of (2, 3) and (2, 6), expected"),
        ("PlainTuple", "gates() returned a tuple of (2, 6) and (2, 6), expected Gates(forget, can"),
        ("NoReturn", "step() returned a state that is None, expected hidden (2, 6), cell (2, 6)"),
        ("Raises", "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_a_wrong_cell_is_described_with_its_line(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(CELL)
    lines = CELL.splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.startswith(f"class {name}")) + 1
    line += name == "Raises"  # the line that raises, and not that of the method
    with pytest.raises(ImplementationError) as error:
        build(implementation=f"{path}:{name}")
    assert f"{path}:{name} cannot be used: own.py:{line}: {message}" in str(error.value)


def test_a_right_cell_with_two_state_parts_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(CELL)
    for layers in (1, 2):
        build(implementation=f"{tmp_path}/own.py:Good", num_layers=layers, bidirectional=True)


def test_a_size_beyond_memory_is_a_one_line_error() -> None:
    with pytest.raises(ConfigError, match=r"^hidden_size is 10000000000: expected at most 65536$"):
        Config(hidden_size=10**10, implementation="builtin")
