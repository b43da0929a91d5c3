"""The cells of examples/: each equals a literal transcription of its equations, and trains.

The transcriptions use the equations of the docstrings, one sequence at a time, with the weights by
name. They share no code with the cells.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from examples.coupled_gate_lstm import CoupledGateLSTMCell
from examples.custom_cell import UGRNNCell
from examples.independent_rnn import IndRNNCell
from examples.layer_norm_gru import LayerNormGRUCell
from examples.layer_norm_lstm import LayerNormLSTMCell
from examples.linear_scan import linear_scan
from examples.minimal_gated_cell import MinimalGatedCell
from examples.minimal_gru import MinGRU, MinGRUCell
from examples.minimal_lstm import MinLSTM, MinLSTMCell
from examples.peephole_lstm import PeepholeLSTMCell
from examples.recurrent_dropout_lstm import RecurrentDropoutLSTMCell
from examples.zoneout_lstm import ZoneoutLSTMCell
from gate_explorer import explore
from scratch_cells import Cell, LSTMCell, layer_of, trace
from scratch_cells.cell import map_state, parts
from shared_interface import SequenceClassifier
from tests.helpers.paths import ROOT
from tests.helpers.runs import metrics, small
from train import train
from training_loop.initialization import initialize

EXAMPLES = ROOT / "examples"
State = tuple[Tensor, ...]
Weights = dict[str, Tensor]


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def rows(matrix: Tensor, gate: int, gates: int) -> Tensor:
    size = len(matrix) // gates
    return matrix[gate * size : (gate + 1) * size]


def affine(w: Weights, gate: int, gates: int, x: Tensor, h: Tensor) -> Tensor:
    """W x + b + U h + d of one gate."""
    of_x = rows(w["weight_ih"], gate, gates) @ x + rows(w["bias_ih"], gate, gates)
    return of_x + rows(w["weight_hh"], gate, gates) @ h + rows(w["bias_hh"], gate, gates)


def normalized(x: Tensor, w: Weights, name: str) -> Tensor:
    centred = x - x.mean()
    scaled = centred / torch.sqrt((centred**2).mean() + 1e-5) * w[f"{name}.weight"]
    return scaled + w[f"{name}.bias"] if f"{name}.bias" in w else scaled


def update_gate_rnn(w: Weights, x: Tensor, state: State) -> State:
    (h,) = state
    c, g = affine(w, 0, 2, x, h).tanh(), sigmoid(affine(w, 1, 2, x, h) + 1)
    return (g * h + (1 - g) * c,)


def minimal_gated_unit(w: Weights, x: Tensor, state: State) -> State:
    (h,) = state
    f = sigmoid(affine(w, 0, 2, x, h))
    n = torch.tanh(affine(w, 1, 2, x, f * h))
    return ((1 - f) * h + f * n,)


def coupled_gate_lstm(w: Weights, x: Tensor, state: State) -> State:
    h, c = state
    i, g = sigmoid(affine(w, 0, 3, x, h)), torch.tanh(affine(w, 1, 3, x, h))
    c = (1 - i) * c + i * g
    return sigmoid(affine(w, 2, 3, x, h)) * torch.tanh(c), c


def peephole_lstm(w: Weights, x: Tensor, state: State) -> State:
    h, c = state
    p_i, p_f, p_o = w["peephole"]
    i = sigmoid(affine(w, 0, 4, x, h) + p_i * c)
    f = sigmoid(affine(w, 1, 4, x, h) + p_f * c)
    c = f * c + i * torch.tanh(affine(w, 2, 4, x, h))
    return sigmoid(affine(w, 3, 4, x, h) + p_o * c) * torch.tanh(c), c


def layer_norm_lstm(w: Weights, x: Tensor, state: State) -> State:
    h, c = state
    both = normalized(w["weight_ih"] @ x, w, "norm_x") + normalized(w["weight_hh"] @ h, w, "norm_h")
    i, f, g, o = (rows(both, gate, 4) for gate in range(4))
    c = sigmoid(f) * c + sigmoid(i) * torch.tanh(g)
    return sigmoid(o) * torch.tanh(normalized(c, w, "norm_c")), c


def layer_norm_gru(w: Weights, x: Tensor, state: State) -> State:
    (h,) = state
    of_x, of_h = w["weight_ih"] @ x, w["weight_hh"] @ h
    size = 2 * len(h)
    both = normalized(of_x[:size], w, "norm_x") + normalized(of_h[:size], w, "norm_h")
    r, z = sigmoid(rows(both, 0, 2)), sigmoid(rows(both, 1, 2))
    n_h = normalized(of_h[size:], w, "norm_nh")
    n = torch.tanh(normalized(of_x[size:], w, "norm_nx") + r * n_h)
    return ((1 - z) * n + z * h,)


def lstm(w: Weights, x: Tensor, state: State) -> State:
    h, c = state
    i, f, o = (sigmoid(affine(w, gate, 4, x, h)) for gate in (0, 1, 3))
    c = f * c + i * torch.tanh(affine(w, 2, 4, x, h))
    return o * torch.tanh(c), c


def zoneout_lstm_in_evaluation(w: Weights, x: Tensor, state: State) -> State:
    new = lstm(w, x, state)
    return tuple(0.05 * old + 0.95 * now for old, now in zip(state, new, strict=True))


def independent_rnn(w: Weights, x: Tensor, state: State) -> State:
    (h,) = state
    return ((w["weight_ih"] @ x + w["bias_ih"] + w["u"] * h).clamp(min=0),)


def minimal_gru(w: Weights, x: Tensor, state: State) -> State:
    (h,) = state
    a = w["weight_ih"] @ x + w["bias_ih"]
    z = sigmoid(rows(a, 0, 2))
    return ((1 - z) * h + z * rows(a, 1, 2),)


def minimal_lstm(w: Weights, x: Tensor, state: State) -> State:
    (h,) = state
    a = w["weight_ih"] @ x + w["bias_ih"]
    i, f = sigmoid(rows(a, 0, 3)), sigmoid(rows(a, 1, 3))
    return ((f * h + i * rows(a, 2, 3)) / (f + i),)


GALLERY: dict[type[Cell], tuple[str, Callable[[Weights, Tensor, State], State]]] = {
    UGRNNCell: ("custom_cell", update_gate_rnn),
    MinimalGatedCell: ("minimal_gated_cell", minimal_gated_unit),
    CoupledGateLSTMCell: ("coupled_gate_lstm", coupled_gate_lstm),
    PeepholeLSTMCell: ("peephole_lstm", peephole_lstm),
    LayerNormLSTMCell: ("layer_norm_lstm", layer_norm_lstm),
    LayerNormGRUCell: ("layer_norm_gru", layer_norm_gru),
    RecurrentDropoutLSTMCell: ("recurrent_dropout_lstm", lstm),  # in evaluation mode
    ZoneoutLSTMCell: ("zoneout_lstm", zoneout_lstm_in_evaluation),
    IndRNNCell: ("independent_rnn", independent_rnn),
    MinGRUCell: ("minimal_gru", minimal_gru),
    MinLSTMCell: ("minimal_lstm", minimal_lstm),
}
"""Cell -> its file, and the literal transcription of its equations."""

each_cell = pytest.mark.parametrize("cell_class", GALLERY, ids=lambda cell: cell.__name__)


def random_cell(cell_class: type[Cell], sizes: tuple[int, int], bias: bool = True) -> Cell:
    """In evaluation mode, with every weight random: the initial ones are often 0 or 1."""
    cell = cell_class(*sizes, bias, dtype=torch.float64).eval()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.uniform_(-0.8, 0.8)
    return cell


def weights_of(cell: Cell) -> Weights:
    weights = dict(cell.state_dict(keep_vars=True))
    size = len(weights["weight_ih"])
    for name in ("bias_ih", "bias_hh"):
        weights.setdefault(name, torch.zeros(size, dtype=torch.float64))
    return weights


@each_cell
@settings(max_examples=20, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    batch=st.integers(1, 3),
    bias=st.booleans(),
    seed=st.integers(0, 999),
)
def test_the_cell_equals_its_equations(
    cell_class: type[Cell], sizes: tuple[int, int], batch: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    cell = random_cell(cell_class, sizes, bias)
    weights = weights_of(cell)
    equations = GALLERY[cell_class][1]
    x = torch.randn(batch, sizes[0], dtype=torch.float64)
    state = map_state(torch.randn_like, cell.zero_state(x))
    updated = parts(cell(x, state))
    for row in range(batch):
        expected = equations(weights, x[row], tuple(part[row] for part in parts(state)))
        for part, right in zip(updated, expected, strict=True):
            torch.testing.assert_close(part[row], right, rtol=1e-12, atol=1e-12)


@each_cell
def test_the_gradients_equal_finite_differences(cell_class: type[Cell]) -> None:
    torch.manual_seed(1)
    cell = random_cell(cell_class, (2, 3))
    x = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    state = [
        part.requires_grad_() for part in parts(map_state(torch.randn_like, cell.zero_state(x)))
    ]

    def step(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        values = dict(zip(dict(cell.named_parameters()), rest[len(state) :], strict=True))
        given = rest[0] if len(state) == 1 else rest[: len(state)]
        return parts(torch.func.functional_call(cell, values, (x, given)))

    assert torch.autograd.gradcheck(step, (x, *state, *cell.parameters()))


@each_cell
@pytest.mark.parametrize("scheme", ["torch", "orthogonal"])
def test_blank_first_rows_do_not_make_the_gradient_explode(
    cell_class: type[Cell], scheme: str
) -> None:
    """As at the top of most images of MNIST. Layer normalization is steep at constant vectors."""
    torch.manual_seed(0)
    layer = layer_of(cell_class)(28, 32, num_layers=2)
    initialize(layer, scheme, time=28)
    x = torch.rand(28, 4, 28)
    norms = []
    for blank in (0, 14):
        x[:blank] = 0
        output, _ = layer(x)
        gradients = torch.autograd.grad(output[-1].square().mean(), list(layer.parameters()))
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    assert norms[1] < 10 * norms[0]


@pytest.mark.slow
@each_cell
def test_a_layer_of_the_cell_can_be_traced_and_explored(cell_class: type[Cell]) -> None:
    torch.manual_seed(2)
    layer = layer_of(cell_class)(4, 5, num_layers=2, bidirectional=True, batch_first=True).eval()
    x = torch.rand(3, 6, 4)
    traced = trace(layer, x)
    torch.testing.assert_close(traced.output, layer(x)[0])
    assert traced.of(1, reverse=True).gates._fields == cell_class.Gates._fields
    image = torch.randint(0, 256, (6, 4), dtype=torch.uint8)
    figure = explore(SequenceClassifier(layer, num_classes=3), image)
    assert len(figure.layout.sliders[0].steps) == 6


@pytest.mark.slow
@each_cell
@pytest.mark.usefixtures("blank_plots")
def test_the_command_in_the_file_trains_the_cell_on_digits(
    cell_class: type[Cell], tmp_path: Path
) -> None:
    name, _ = GALLERY[cell_class]
    (command,) = [
        line.split()
        for line in (EXAMPLES / f"{name}.py").read_text().splitlines()
        if line.strip().startswith("python train.py --implementation")
    ]
    implementation = str(ROOT / command[-1])
    options = {"num_layers": 2, "hidden_size": 32, "epochs": 3}
    config = small(tmp_path, implementation=implementation, **options)
    train(config)
    assert metrics(config.run_dir)["test_accuracy"] > 0.5  # ten classes: 0.1 by chance


@each_cell
def test_every_cell_of_the_gallery_has_fewer_than_60_lines(cell_class: type[Cell]) -> None:
    text = (EXAMPLES / f"{GALLERY[cell_class][0]}.py").read_text()
    assert len(text.splitlines()) < 60
    assert "Source:" in text


def test_the_gallery_is_complete() -> None:
    cells = {path.stem for path in EXAMPLES.glob("*.py") if "Cell(" in path.read_text()}
    others = {"verify_a_cell", "ablations", "newton"}
    assert cells - others == {name for name, _ in GALLERY.values()}


# What a cell does in training mode


def test_a_peephole_lstm_without_peepholes_is_an_lstm() -> None:
    torch.manual_seed(0)
    cell, plain = PeepholeLSTMCell(3, 4), LSTMCell(3, 4)
    plain.load_state_dict({k: v for k, v in cell.state_dict().items() if k != "peephole"})
    x = torch.randn(2, 3)
    torch.testing.assert_close(cell(x), plain(x), rtol=0, atol=0)


def test_zoneout_keeps_units_at_the_given_rate() -> None:
    torch.manual_seed(0)
    cell = ZoneoutLSTMCell(3, 400, zoneout_hidden=0.2, zoneout_cell=0.4)
    x, state = torch.randn(50, 3), (torch.randn(50, 400), torch.randn(50, 400))
    h, c = cell(x, state)
    kept_h, kept_c = h == state[0], c == state[1]
    assert abs(kept_h.float().mean() - 0.2) < 0.02
    assert abs(kept_c.float().mean() - 0.4) < 0.02
    new_h, new_c = LSTMCell.update(cell, cell.gates(cell.project(x), state), state)
    torch.testing.assert_close(h[~kept_h], new_h[~kept_h])
    torch.testing.assert_close(c[~kept_c], new_c[~kept_c])


def test_recurrent_dropout_never_erases_the_memory() -> None:
    torch.manual_seed(0)
    cell = RecurrentDropoutLSTMCell(3, 400, recurrent_dropout=0.5)
    x, state = torch.randn(50, 3), (torch.randn(50, 400), torch.randn(50, 400))
    i, f, g, _ = cell.gates(cell.project(x), state)
    added = (cell(x, state)[1] - f * state[1]) / (i * g)
    dropped = added.abs() < 0.5
    assert abs(dropped.float().mean() - 0.5) < 0.02
    torch.testing.assert_close(
        added[~dropped], torch.full_like(added[~dropped], 2.0), rtol=1e-2, atol=0
    )


# The parallel scan


@settings(max_examples=40, deadline=None)
@given(time=st.integers(1, 40), seed=st.integers(0, 999))
def test_the_scan_equals_the_recurrence(time: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(time, 2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    h = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    states = linear_scan(a, b, h)
    for t in range(time):
        h = a[t] * h + b[t]
        torch.testing.assert_close(states[t], h, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("scan_class", "cell"), [(MinGRU, MinGRUCell), (MinLSTM, MinLSTMCell)])
@settings(max_examples=20, deadline=None)
@given(
    time=st.integers(1, 20),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    given_state=st.booleans(),
    seed=st.integers(0, 999),
)
def test_a_scan_layer_equals_the_loop_in_values_and_gradients(
    scan_class: type[nn.Module],
    cell: type[Cell],
    time: int,
    layers: int,
    bidirectional: bool,
    given_state: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    options: dict[str, Any] = {"num_layers": layers, "bidirectional": bidirectional}
    scan = scan_class(3, 4, **options, dtype=torch.float64)
    loop = layer_of(cell)(3, 4, **options, dtype=torch.float64, backend="plain")
    loop.load_state_dict(scan.state_dict())
    x = torch.randn(time, 2, 3, dtype=torch.float64)
    state = torch.randn(layers * (1 + bidirectional), 2, 4, dtype=torch.float64)
    results = []
    for layer in (scan, loop):
        leaf = x.clone().requires_grad_()
        output, final = layer(leaf, state if given_state else None)
        (output.sin().sum() + final.cos().sum()).backward()
        results.append([output, final, leaf.grad, *(w.grad for w in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_a_scan_layer_runs_the_loop_on_packed_sequences() -> None:
    layer = MinGRU(3, 4)
    sequences = [torch.randn(length, 3) for length in (5, 2, 3)]
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
    _, final = layer(packed)
    for index, sequence in enumerate(sequences):
        torch.testing.assert_close(final[:, index], layer(sequence)[1])
