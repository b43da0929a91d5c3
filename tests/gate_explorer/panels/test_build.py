"""Panels compared with the cells' equations; their scales, orders and captions."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import builtin_models
import scratch_cells
from examples.minimal_gated_cell import MinimalGatedCell
from gate_explorer import Observation, explore, observe
from gate_explorer.panels import captions
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panel_types import Heatmap, LineChart
from scratch_cells import layer_of
from sequenced_mnist import to_sequences
from shared_interface import SequenceClassifier
from tests.gate_explorer.small_models import CLASSES, IMAGE, KINDS, UNITS, by_key, classifier
from tests.helpers.oracles import affine, sigmoid, tanh


def equations(kind: str, w: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor) -> dict[str, Any]:
    """Gates and states of one time step, transcribed from the equations."""

    def pre_activation(gate: int) -> Tensor:
        return affine(w, "ih", gate, UNITS, x) + affine(w, "hh", gate, UNITS, h)

    if kind == "RNN":
        h = tanh(pre_activation(0))
        return {"candidate": h, "hidden": h}
    if kind == "GRU":
        r, z = sigmoid(pre_activation(0)), sigmoid(pre_activation(1))
        n = tanh(affine(w, "ih", 2, UNITS, x) + r * affine(w, "hh", 2, UNITS, h))
        return {"reset": r, "update": z, "candidate": n, "hidden": (1 - z) * n + z * h}
    i, f = sigmoid(pre_activation(0)), sigmoid(pre_activation(1))
    g, o = tanh(pre_activation(2)), sigmoid(pre_activation(3))
    c = f * c + i * g
    gates = {"input": i, "forget": f, "candidate": g, "output": o}
    return {**gates, "cell": c, "hidden": o * tanh(c)}


@pytest.mark.parametrize("package", [scratch_cells, builtin_models])
@pytest.mark.parametrize("kind", KINDS)
def test_heatmaps_show_the_values_of_the_equations(kind: str, package: Any) -> None:
    model = classifier(package, kind)
    weights = {name.removesuffix("_l0"): w for name, w in model.layer.state_dict().items()}
    observation = observe(model, IMAGE)
    (panels,) = build_panels([observation])
    shown = {panel.key.partition("-")[2]: panel for panel in panels.cells[0].internals}
    h = c = torch.zeros(UNITS, dtype=torch.float64)
    for t, x in enumerate(torch.from_numpy(observation.steps)):
        expected = equations(kind, weights, x, h, c)
        h, c = expected["hidden"], expected.get("cell", c)
        if kind == "RNN":
            del expected["candidate"]  # equals h, which is not shown twice
        assert shown.keys() == expected.keys()
        for name, panel in shown.items():
            units = [int(unit) for unit in panel.columns]
            assert sorted(units) == list(range(UNITS))
            np.testing.assert_allclose(panel.values[t], expected[name][units], atol=1e-12)


def test_a_custom_cell_has_heatmaps_and_no_comparison() -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(layer_of(MinimalGatedCell)(5, UNITS, batch_first=True), CLASSES)
    observation = observe(model, IMAGE)
    assert observation.difference is None
    (panels,) = build_panels([observation])
    keys = [panel.key for panel in panels.cells[0].internals]
    assert keys == ["state-hidden", "gate-forget", "gate-candidate"]
    difference = by_key(panels.cells[0].overview)["difference"]
    assert "no counterpart" in difference.caption
    assert difference.lines == ()
    assert len(explore(model, IMAGE).data) > 0


def test_a_projected_lstm_has_one_order_of_units_for_each_width() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(5, UNITS, proj_size=2, batch_first=True)
    (panels,) = build_panels([observe(SequenceClassifier(layer, CLASSES), IMAGE)])
    widths = {panel.key: panel.values.shape[1] for panel in panels.cells[0].internals}
    assert widths.pop("state-hidden") == 2
    assert set(widths.values()) == {UNITS}


def test_units_are_sorted_by_peak_step_in_the_same_order_in_all_heatmaps(
    lstm_observation: Observation,
) -> None:
    (panels,) = build_panels([lstm_observation])
    for cell, cell_panels in zip(lstm_observation.cells, panels.cells, strict=True):
        orders = {panel.columns for panel in cell_panels.internals}
        assert len(orders) == 1
        peaks = np.abs(cell.states["hidden"]).argmax(axis=0)[[int(unit) for unit in orders.pop()]]
        assert (np.diff(peaks) >= 0).all()


def test_colour_scales_are_symmetric(lstm_observation: Observation) -> None:
    (panels,) = build_panels([lstm_observation])
    for cell_panels in panels.cells:
        for panel in cell_panels.internals:
            centre = (panel.scale.low + panel.scale.high) / 2
            assert centre == (0.5 if panel.scale.name == "gate" else 0.0)
        # one for h and candidate, one for c, one for the gates
        assert len({panel.scale for panel in cell_panels.internals}) == 3


def test_saturation_is_the_share_of_units_beyond_the_bounds(lstm_observation: Observation) -> None:
    cell = lstm_observation.cells[0]
    gates = {name: gate.copy() for name, gate in cell.gates.items()}
    gates["forget"][2] = [0.95, 0.91, 0.05, 0.5]
    gates["candidate"][2] = [-0.95, 0.05, 0.0, 0.95]
    object.__setattr__(cell, "gates", gates)
    (panels,) = build_panels([lstm_observation])
    chart = by_key(panels.cells[0].overview)["saturation"]
    at_step_2 = {line.name: line.values[2] for line in chart.lines}
    assert at_step_2["forget open"] == 0.5
    assert at_step_2["forget shut"] == -0.25
    assert at_step_2["candidate open"] == 0.25
    assert at_step_2["candidate shut"] == -0.25


def test_gradients_of_all_models_have_the_same_axis(lstm_observation: Observation) -> None:
    rnn = observe(classifier(scratch_cells, "RNN"), IMAGE)
    charts = [
        by_key(cell.overview)["gradient"]
        for model in build_panels([lstm_observation, rnn])
        for cell in model.cells
    ]
    assert len({(chart.low, chart.high) for chart in charts}) == 1
    for chart in charts:
        assert isinstance(chart, LineChart)
        for line in chart.lines:
            assert chart.low <= line.values.min()
            assert line.values.max() <= chart.high


@pytest.mark.parametrize(
    ("sequence", "shape"),
    [("rows", (6, 5)), ("columns", (5, 6)), ("pixels", (6, 5)), ("permuted", (6, 5))],
)
def test_the_input_panel_shows_the_image_as_it_is_read(
    sequence: str, shape: tuple[int, int]
) -> None:
    features = {"rows": 5, "columns": 6}.get(sequence, 1)
    torch.manual_seed(0)
    model = SequenceClassifier(nn.GRU(features, 3, batch_first=True), CLASSES)
    (panels,) = build_panels([observe(model, IMAGE, sequence=sequence)])
    panel = by_key(panels.cells[0].overview)["input"]
    assert isinstance(panel, Heatmap)
    assert panel.values.shape == shape
    read = to_sequences(IMAGE[None], sequence)[0].flatten()
    np.testing.assert_array_equal(panel.values.ravel(), read)


def test_the_input_panels_scale_covers_all_grey_levels() -> None:
    image = torch.linspace(0, 255, 30).to(torch.uint8).reshape(6, 5)
    (panels,) = build_panels([observe(classifier(nn, "GRU"), image)])
    panel = by_key(panels.cells[0].overview)["input"]
    assert (panel.scale.low, panel.scale.high) == (panel.values.min(), panel.values.max())


@pytest.mark.parametrize(
    ("scale", "words"),
    [(0.3, "a vanishing gradient"), (6.0, "an exploding gradient"), (1.0, "neither vanishes nor")],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_caption_names_what_the_gradient_does(scale: float, words: str, reverse: bool) -> None:
    """A linear RNN whose recurrent weight is the identity times a factor, over six steps."""
    torch.manual_seed(0)
    layer = nn.RNN(5, UNITS, nonlinearity="relu", batch_first=True, bidirectional=reverse)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_(scale * torch.eye(UNITS) if "weight_hh" in name else weight.abs())
    (panels,) = build_panels([observe(SequenceClassifier(layer, CLASSES), IMAGE)])
    caption = by_key(panels.cells[-1].overview)["gradient"].caption
    assert words in caption
    if scale != 1:
        assert f"by a factor of {max(scale, 1 / scale) ** 5:.2g}:" in caption


def test_the_caption_of_gradients_that_are_not_finite_names_nothing() -> None:
    layer = nn.RNN(5, UNITS, batch_first=True)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(torch.nan)
    (panels,) = build_panels([observe(SequenceClassifier(layer, CLASSES), IMAGE)])
    assert by_key(panels.cells[0].overview)["gradient"].caption == captions.GRADIENT
