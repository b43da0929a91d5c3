"""The explorer's numbers against torch.nn, autograd, and the equations transcribed."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import builtin_models
import scratch_cells
from gate_explorer import (
    ExplorerError,
    Observation,
    explore,
    observation_to_arrays,
    observe,
    trace_to_arrays,
)
from gate_explorer.observation.time_bins import Rows
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.downsample import every_kth, peak_order
from gate_explorer.panels.panels import Curves, Heat, Panel
from scratch_cells import Cell, layer_of, trace
from sequenced_mnist import to_sequences
from shared_interface import SequenceClassifier
from tests.helpers.oracles import affine, sigmoid, tanh

KINDS = ("RNN", "GRU", "LSTM")
CELLS = {"RNN": nn.RNNCell, "GRU": nn.GRUCell, "LSTM": nn.LSTMCell}
UNITS, CLASSES = 4, 3
IMAGE = torch.randint(256, (6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier(package: Any, kind: str, **options: Any) -> SequenceClassifier:
    torch.manual_seed(1)
    layer = getattr(package, kind)(5, UNITS, batch_first=True, dtype=torch.float64, **options)
    return SequenceClassifier(layer, CLASSES).double()


class MinimalGatedCell(Cell):
    class Gates(NamedTuple):
        forget: Tensor
        candidate: Tensor

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        f_x, n_x = projected.chunk(2, dim=-1)
        f_h, n_h = self.hidden_to_hidden(h).chunk(2, dim=-1)
        f = torch.sigmoid(f_x + f_h)
        return self.Gates(forget=f, candidate=torch.tanh(n_x + f * n_h))

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        f, n = gates
        return (1 - f) * h + f * n


# --- probabilities ----------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("package", [scratch_cells, builtin_models])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_torch_nns_on_every_shorter_image(
    kind: str, package: Any, bidirectional: bool
) -> None:
    options = {"num_layers": 2, "bidirectional": bidirectional}
    model, builtin = classifier(package, kind, **options), classifier(nn, kind, **options)
    seen = observe(model, IMAGE)
    steps = IMAGE.double() / 127.5
    assert seen.probabilities.shape == (6, CLASSES)
    for end in range(1, 7):
        expected = builtin(steps[None, :end]).softmax(dim=1)[0]
        # the image itself is float32 before it is float64
        np.testing.assert_allclose(seen.probabilities[end - 1], expected.detach(), atol=1e-6)


def test_a_long_bidirectional_sequence_is_answered_where_a_row_ends() -> None:
    torch.manual_seed(0)
    image = torch.randint(256, (24, 25), dtype=torch.uint8)
    layer = nn.GRU(1, 3, batch_first=True, bidirectional=True)
    model = SequenceClassifier(layer, CLASSES)
    seen = observe(model, image, sequence="pixels")
    ends = Rows.for_time(600).ends
    known = ~np.isnan(seen.probabilities).any(axis=1)
    assert known.nonzero()[0].tolist() == ends
    steps = to_sequences(image[None], "pixels")
    expected = model(steps[:, : ends[70] + 1]).softmax(dim=1)[0].detach()
    np.testing.assert_allclose(seen.probabilities[ends[70]], expected, atol=1e-6)


def test_dropout_is_off_and_the_model_is_left_as_it_is() -> None:
    model = classifier(scratch_cells, "LSTM", num_layers=2, dropout=0.5).train()
    first, second = observe(model, IMAGE), observe(model, IMAGE)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


# --- gradients --------------------------------------------------------------------------------


def torch_gradients(kind: str, model: SequenceClassifier, steps: Tensor) -> dict[str, Tensor]:
    """Norms by autograd through torch.nn's own cells, whose every state keeps its gradient."""
    layer = model.layer
    cells = []
    for index in range(layer.num_layers):
        cell = CELLS[kind](layer.input_size if index == 0 else UNITS, UNITS, dtype=torch.float64)
        weights = {name: getattr(layer, f"{name}_l{index}") for name, _ in cell.named_parameters()}
        cell.load_state_dict(weights)
        cells.append(cell)
    x = steps.clone().requires_grad_()
    states: list[Any] = [None] * len(cells)
    nodes: dict[str, list[Tensor]] = {}
    for t in range(len(steps)):
        below = x[t]
        for index, cell in enumerate(cells):
            states[index] = cell(below, states[index])
            parts = states[index] if kind == "LSTM" else (states[index],)
            for name, part in zip(("hidden", "cell"), parts, strict=False):
                part.retain_grad()
                nodes.setdefault(f"{index}.{name}", []).append(part)
            below = parts[0]
    scores = model.readout(below)
    scores[scores.argmax()].backward()
    gradients = {
        name: torch.stack([torch.zeros(UNITS) if s.grad is None else s.grad for s in at_each_step])
        for name, at_each_step in nodes.items()
    }
    for name in nodes.keys() & {"0.cell", "1.cell"}:
        # torch.nn gives h and c side by side, so h = o tanh(c) within the step is still to be added
        c = torch.stack(nodes[name])
        h_name = name.replace("cell", "hidden")
        o = torch.stack(nodes[h_name]) / c.tanh()
        gradients[name] = gradients[name] + gradients[h_name] * o * (1 - c.tanh() ** 2)
    norms = {name: gradient.detach().norm(dim=1) for name, gradient in gradients.items()}
    return norms | {"input": x.grad.norm(dim=1)}


@pytest.mark.parametrize("package", [scratch_cells, builtin_models])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_autograds_through_torch_nns_cells(kind: str, package: Any) -> None:
    model = classifier(package, kind, num_layers=2)
    seen = observe(model, IMAGE)
    expected = torch_gradients(kind, model, torch.from_numpy(seen.steps))
    np.testing.assert_allclose(seen.input_gradient, expected.pop("input"), rtol=1e-10)
    for cell in seen.cells:
        for name, norms in cell.gradients.items():
            np.testing.assert_allclose(norms, expected.pop(f"{cell.layer}.{name}"), rtol=1e-10)
    assert not expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_bidirectional_model_by_central_differences(kind: str) -> None:
    model = classifier(nn, kind, bidirectional=True)
    seen = observe(model, IMAGE)
    steps = torch.from_numpy(seen.steps)
    winner = seen.answer
    estimate = torch.zeros_like(steps)
    with torch.no_grad():
        for at in np.ndindex(*steps.shape):
            nudge = torch.zeros_like(steps)
            nudge[at] = 1e-6
            estimate[at] = (model(steps + nudge) - model(steps - nudge))[winner] / 2e-6
    np.testing.assert_allclose(seen.input_gradient, estimate.norm(dim=1), rtol=1e-6)
    # What the reverse direction passes on reaches the score too, most of all what it passes last.
    (reverse,) = [cell for cell in seen.cells if cell.reverse]
    w_readout = model.readout.weight[winner, UNITS:].detach()
    np.testing.assert_allclose(reverse.gradients["hidden"][0], w_readout.norm(), rtol=1e-10)


# --- gates, differences -----------------------------------------------------------------------


def equations(kind: str, w: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor) -> dict[str, Any]:
    """Transcribed: gates and states of one step."""

    def both(gate: int) -> Tensor:
        return affine(w, "ih", gate, UNITS, x) + affine(w, "hh", gate, UNITS, h)

    if kind == "RNN":
        return {"candidate": tanh(both(0)), "hidden": tanh(both(0))}
    if kind == "GRU":
        r, z = sigmoid(both(0)), sigmoid(both(1))
        n = tanh(affine(w, "ih", 2, UNITS, x) + r * affine(w, "hh", 2, UNITS, h))
        return {"reset": r, "update": z, "candidate": n, "hidden": (1 - z) * n + z * h}
    i, f, g, o = sigmoid(both(0)), sigmoid(both(1)), tanh(both(2)), sigmoid(both(3))
    c = f * c + i * g
    gates = {"input": i, "forget": f, "candidate": g, "output": o}
    return {**gates, "cell": c, "hidden": o * tanh(c)}


@pytest.mark.parametrize("package", [scratch_cells, builtin_models])
@pytest.mark.parametrize("kind", KINDS)
def test_the_heatmaps_show_the_equations(kind: str, package: Any) -> None:
    model = classifier(package, kind)
    weights = {name.removesuffix("_l0"): w for name, w in model.layer.state_dict().items()}
    seen = observe(model, IMAGE)
    (run,) = build_panels([seen])
    shown = {panel.key.partition("-")[2]: panel for panel in run.cells[0].inside}
    h = c = torch.zeros(UNITS, dtype=torch.float64)
    for t, x in enumerate(torch.from_numpy(seen.steps)):
        expected = equations(kind, weights, x, h, c)
        h, c = expected["hidden"], expected.get("cell", c)
        if kind == "RNN":
            del expected["candidate"]  # it is h, and not shown twice
        assert shown.keys() == expected.keys()
        for name, panel in shown.items():
            units = [int(unit) for unit in panel.columns]
            assert sorted(units) == list(range(UNITS))
            np.testing.assert_allclose(panel.values[t], expected[name][units], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_difference_is_that_of_the_outputs(kind: str) -> None:
    model = classifier(builtin_models, kind)
    seen = observe(model, IMAGE)
    assert seen.replayed
    assert seen.difference is not None
    assert 0 <= seen.difference.max() < 1e-12
    assert not observe(classifier(scratch_cells, kind), IMAGE).replayed


def test_a_difference_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    update = scratch_cells.GRUCell.update
    monkeypatch.setattr(scratch_cells.GRUCell, "update", lambda *args: update(*args) + 1e-3)
    seen = observe(classifier(builtin_models, "GRU"), IMAGE)
    assert seen.difference is not None
    assert seen.difference.min() > 1e-4


def test_a_cell_of_the_users_own() -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(layer_of(MinimalGatedCell)(5, UNITS, batch_first=True), CLASSES)
    seen = observe(model, IMAGE)
    assert seen.difference is None
    (run,) = build_panels([seen])
    keys = [panel.key for panel in run.cells[0].inside]
    assert keys == ["state-hidden", "gate-forget", "gate-candidate"]
    difference = by_key(run.cells[0].overview)["difference"]
    assert "no twin" in difference.words
    assert len(explore(model, IMAGE).data) > 0


def test_a_projected_lstm_keeps_an_order_for_each_width() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(5, UNITS, proj_size=2, batch_first=True)
    (run,) = build_panels([observe(SequenceClassifier(layer, CLASSES), IMAGE)])
    widths = {panel.key: panel.values.shape[1] for panel in run.cells[0].inside}
    assert widths.pop("state-hidden") == 2
    assert set(widths.values()) == {UNITS}


# --- panels -----------------------------------------------------------------------------------


def by_key(panels: tuple[Panel, ...]) -> dict[str, Any]:
    return {panel.key: panel for panel in panels}


@pytest.fixture
def lstm() -> Observation:
    return observe(classifier(scratch_cells, "LSTM", num_layers=2), IMAGE)


def test_units_stand_by_when_they_peak_and_alike_in_all_panels(lstm: Observation) -> None:
    (run,) = build_panels([lstm])
    for cell, panels in zip(lstm.cells, run.cells, strict=True):
        orders = {panel.columns for panel in panels.inside}
        assert len(orders) == 1
        peaks = np.abs(cell.states["hidden"]).argmax(axis=0)[[int(unit) for unit in orders.pop()]]
        assert (np.diff(peaks) >= 0).all()


def test_peak_order_keeps_units_that_peak_together_in_their_order() -> None:
    values = np.array([[0.1, -0.9, 0.2, 0.8], [0.5, 0.1, -0.6, 0.1]])
    assert peak_order(values).tolist() == [1, 3, 0, 2]
    assert every_kth(np.arange(10), 4).tolist() == [0, 3, 6, 9]


def test_colour_scales_are_symmetric(lstm: Observation) -> None:
    (run,) = build_panels([lstm])
    for panels in run.cells:
        for panel in panels.inside:
            centre = (panel.scale.low + panel.scale.high) / 2
            assert centre == (0.5 if panel.scale.name == "gate" else 0.0)
        assert len({panel.scale for panel in panels.inside}) == 3  # h and candidate, c, gates


def test_saturation_is_the_share_of_units_beyond_the_bounds(lstm: Observation) -> None:
    cell = lstm.cells[0]
    gates = {name: gate.copy() for name, gate in cell.gates.items()}
    gates["forget"][2] = [0.95, 0.91, 0.05, 0.5]
    gates["candidate"][2] = [-0.95, 0.05, 0.0, 0.95]
    object.__setattr__(cell, "gates", gates)
    (run,) = build_panels([lstm])
    panel = by_key(run.cells[0].overview)["saturation"]
    at_2 = {line.name: line.values[2] for line in panel.lines}
    assert at_2["forget open"] == 0.5
    assert at_2["forget shut"] == -0.25
    assert at_2["candidate open"] == 0.25
    assert at_2["candidate shut"] == -0.25


def test_gradients_share_one_axis_across_runs(lstm: Observation) -> None:
    rnn = observe(classifier(scratch_cells, "RNN"), IMAGE)
    panels = [
        by_key(cell.overview)["gradient"] for run in build_panels([lstm, rnn]) for cell in run.cells
    ]
    assert len({(panel.low, panel.high) for panel in panels}) == 1
    for panel in panels:
        assert isinstance(panel, Curves)
        for line in panel.lines:
            assert panel.low <= line.values.min()
            assert line.values.max() <= panel.high


@pytest.mark.parametrize(
    ("sequence", "shape"),
    [("rows", (6, 5)), ("columns", (5, 6)), ("pixels", (6, 5)), ("permuted", (6, 5))],
)
def test_the_digit_is_drawn_as_it_is_read(sequence: str, shape: tuple[int, int]) -> None:
    features = {"rows": 5, "columns": 6}.get(sequence, 1)
    torch.manual_seed(0)
    model = SequenceClassifier(nn.GRU(features, 3, batch_first=True), CLASSES)
    (run,) = build_panels([observe(model, IMAGE, sequence=sequence)])
    digit = by_key(run.cells[0].overview)["digit"]
    assert isinstance(digit, Heat)
    assert digit.values.shape == shape
    read = to_sequences(IMAGE[None], sequence)[0].flatten()
    np.testing.assert_array_equal(digit.values.ravel(), read)


@pytest.mark.parametrize(("time", "size", "count"), [(28, 1, 28), (784, 4, 196), (513, 3, 171)])
def test_rows_are_blocks_of_steps(time: int, size: int, count: int) -> None:
    rows = Rows.for_time(time)
    assert (rows.size, len(rows), len(rows.labels)) == (size, count, count)
    values = np.arange(time, dtype=float)[:, None] * [1, -1]
    last = values[-1, 0]
    assert rows.mean(values)[0, 0] == np.arange(size).mean()
    assert rows.largest(values)[-1].tolist() == [last, -rows.starts[-1]]
    assert rows.last(values)[-1, 0] == last


def test_a_ragged_last_row_is_the_mean_of_what_is_left() -> None:
    rows = Rows(time=5, size=2)
    assert rows.labels == ["0–1", "2–3", "4–4"]
    assert rows.mean(np.arange(5.0)).tolist() == [0.5, 2.5, 4.0]


# --- as a library -----------------------------------------------------------------------------


def visible_traces(figure: Any) -> Iterator[Any]:
    return (trace for trace in figure.data if trace.visible)


def test_explore_gives_a_figure_with_slider_and_menu() -> None:
    model = classifier(builtin_models, "LSTM", num_layers=2)
    figure = explore(model, IMAGE)
    steps = figure.layout.sliders[0].steps
    assert [step.label for step in steps] == list("012345")
    for row, step in enumerate(steps):
        bands = step.args[0]["shapes"]
        assert len(bands) == 11  # digit, answer, gradient, saturation, difference, h, c, 4 gates
        assert {(band["y0"] + band["y1"]) / 2 for band in bands} == {row}
    menu = figure.layout.updatemenus[0].buttons
    assert [button.label for button in menu] == [
        "layer 0 (reads the image)",
        "layer 1 (gives the answer)",
    ]
    count = len(list(visible_traces(figure)))
    shown = menu[1].args[0]["visible"]
    assert sum(shown) == count
    assert not any(trace.visible and show for trace, show in zip(figure.data, shown, strict=True))


def test_arrays_hold_everything_observed(lstm: Observation) -> None:
    arrays = observation_to_arrays(lstm)
    assert arrays["layer1.gates.forget"].shape == (6, UNITS)
    assert arrays["layer0.gradients.cell"].shape == (6,)
    assert {"image", "steps", "probabilities", "input_gradient", "difference"} <= arrays.keys()
    assert all(type(array) is np.ndarray for array in arrays.values())


def test_a_trace_becomes_arrays_whatever_its_layout() -> None:
    layer = nn.GRU(3, UNITS, bidirectional=True)
    seen = trace(layer, torch.randn(5, 2, 3))
    arrays = trace_to_arrays(seen)
    assert len(arrays) == 1 + 2 * 4
    reset = seen.of(0, reverse=True).gates.reset
    np.testing.assert_array_equal(arrays["layer0.reverse.gates.reset"], reset.detach())
    packed = nn.utils.rnn.pack_sequence([torch.randn(2, 3), torch.randn(1, 3)])
    assert trace_to_arrays(trace(layer, packed))["output"].shape == (3, 2 * UNITS)


@pytest.mark.parametrize(
    ("model", "image", "message"),
    [
        (nn.LSTM(5, 4), IMAGE, "model is LSTM: expected a SequenceClassifier"),
        (classifier(nn, "GRU"), IMAGE.float(), r"image is \(6, 5\) torch.float32: expected"),
        (classifier(nn, "GRU"), IMAGE.T, r"steps of 6: expected 5, the layer's input_size"),
    ],
)
def test_what_cannot_be_explored_is_refused(model: nn.Module, image: Tensor, message: str) -> None:
    with pytest.raises(ExplorerError, match=message):
        explore(model, image)


def test_a_layer_without_gates_to_show_is_refused() -> None:
    class Foreign(nn.GRU):
        def forward(self, *args: Any) -> Any:
            return super().forward(*args)

    with pytest.raises(ExplorerError, match="cannot look inside Foreign"):
        explore(SequenceClassifier(Foreign(5, 4), CLASSES), IMAGE)
