"""The page: its data, and its behaviour in a real browser, without network requests."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import builtin_models
import scratch_cells
from gate_explorer import Observation, explore, observe
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panel_types import GREEN_TO_BROWN, Heatmap
from gate_explorer.render.html import render_page
from gate_explorer.render.png import draw_figure
from shared_interface import SequenceClassifier

SIZES = [(1280, 800), (390, 844)]
DATA_TAG = '<script type="application/json" id="page-data">'
PANELS = {"RNN": 6, "GRU": 9, "LSTM": 11}
IMAGE = torch.randint(256, (8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier(package: Any, kind: str, input_size: int = 8, **options: Any) -> SequenceClassifier:
    torch.manual_seed(0)
    layer = getattr(package, kind)(input_size, 12, batch_first=True, **options)
    model = SequenceClassifier(layer, 10)
    torch.nn.init.normal_(model.readout.weight, std=2.0)  # so that the prediction changes over time
    return model


@pytest.fixture(scope="module")
def observations() -> dict[str, Observation]:
    return {
        "RNN": observe(classifier(scratch_cells, "RNN"), IMAGE, name="scratch rnn"),
        "GRU": observe(classifier(nn, "GRU", bidirectional=True), IMAGE, name="builtin gru"),
        "LSTM": observe(classifier(builtin_models, "LSTM", num_layers=2), IMAGE, label=3),
    }


def page_data(html: str) -> Any:
    """The JSON that page.js draws."""
    start = html.index(DATA_TAG) + len(DATA_TAG)
    return json.loads(html[start : html.index("</script>", start)])


def decode(text: str) -> np.ndarray[Any, Any]:
    """The values of a chart, float32 in base64."""
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_charts_contain_the_observed_values(observations: dict[str, Observation]) -> None:
    lstm = observations["LSTM"]
    (model,) = page_data(render_page([lstm], "an image"))["models"]
    for cell, shown in zip(lstm.cells, model["cells"], strict=True):
        charts = shown["charts"]
        prediction = decode(charts["prediction"]["values"])
        np.testing.assert_allclose(prediction, lstm.probabilities.ravel(), atol=1e-7)
        forget = charts["gate-forget"]
        units = [int(unit) for unit in forget["columns"]]
        expected = cell.gates["forget"][:, units].ravel()
        np.testing.assert_allclose(decode(forget["values"]), expected, atol=1e-7)
        by_name = {line["name"]: decode(line["values"]) for line in charts["gradient"]["lines"]}
        np.testing.assert_allclose(by_name["x"], lstm.input_gradient, rtol=1e-6)
        np.testing.assert_allclose(by_name["h"], cell.gradients["hidden"], rtol=1e-6)
        np.testing.assert_allclose(by_name["c"], cell.gradients["cell"], rtol=1e-6)


def test_a_saved_page_is_small() -> None:
    """Two layers of 128 units on MNIST; plotly.js alone would be 5 MB."""
    image = torch.randint(256, (28, 28), dtype=torch.uint8)
    layer = nn.LSTM(28, 128, num_layers=2, batch_first=True)
    html = render_page([observe(SequenceClassifier(layer, 10), image)], "an image")
    assert len(html.encode()) < 1e6


def test_the_page_and_the_picture_show_the_same_cell_first() -> None:
    model = classifier(nn, "GRU", num_layers=2, bidirectional=True)
    observation = observe(model, IMAGE)
    (panels,) = build_panels([observation])
    label = panels.cells[panels.default_cell].label
    assert label == "layer 1, forward (feeds the readout)"
    html = render_page([observation], "an image")
    (selected,) = re.findall(r"<option value=.\d. selected>([^<]*)", html)
    assert selected == label
    titles = [each.get_suptitle() for each in draw_figure([observation], "t").subfigs]
    assert titles == [f"GRU, {label}: t, predicted {observation.prediction}"]
    (menu,) = explore(model, IMAGE).layout.updatemenus
    assert menu.buttons[menu.active].label == label


def test_the_legend_shows_which_lines_are_dotted(observations: dict[str, Observation]) -> None:
    html = render_page([observations["LSTM"]], "an image")
    legend = dict(re.findall(r'<b class="([a-z ]*)" style="[^"]*">(x|h|forget)</b>', html))
    assert legend == {"dotted": "x", "solid": "h", "dotted solid": "forget"}


def test_the_page_notes_that_gates_are_recomputed(
    observations: dict[str, Observation],
) -> None:
    difference = observations["LSTM"].difference
    assert difference is not None
    html = render_page([observations["LSTM"]], "an image")
    assert "are recomputed by the hand-written layer" in html
    assert f"the model's own: {difference.max():.1e}." in html.replace("&#x27;", "'")
    assert "are recomputed" not in render_page([observations["RNN"]], "an image")


def test_names_and_title_are_escaped() -> None:
    names = tuple(f"</script><b>{number}" for number in range(10))
    model = classifier(nn, "GRU")
    html = render_page([observe(model, IMAGE, class_names=names, label=3, name="<b>x")], "<b>title")
    assert "</script><b>" not in html
    assert "<b>title" not in html
    assert "<b>x" not in html


def test_a_long_sequence_gives_a_small_page_with_notes() -> None:
    image = torch.randint(256, (28, 28), dtype=torch.uint8)
    observations = []
    for kind in ("RNN", "GRU", "LSTM"):
        layer = getattr(nn, kind)(1, 300, batch_first=True)
        observations.append(observe(SequenceClassifier(layer, 10), image, sequence="pixels"))
    html = render_page(observations, "an image")
    assert len(html.encode()) < 7e6
    assert "Each row is the mean of 4 steps" in html
    assert "150 of 300 units are shown" in html
    lstm, cell = observations[2], build_panels(observations)[2].cells[0]
    (hidden,) = [panel for panel in cell.internals if panel.key == "state-hidden"]
    units = [int(unit) for unit in hidden.columns]
    expected = lstm.cells[0].states["hidden"][4:8, units].mean(axis=0)
    np.testing.assert_allclose(hidden.values[1], expected, atol=1e-6)
    (prediction,) = [panel for panel in cell.overview if panel.key == "prediction"]
    assert isinstance(prediction, Heatmap)
    np.testing.assert_array_equal(prediction.values, lstm.probabilities[3::4])


# --- in the browser ---------------------------------------------------------------------------


class OpenPage:
    """A page whose charts are drawn, with all console messages and requests it has made."""

    def __init__(self, browser: Any, path: Path, size: tuple[int, int]) -> None:
        self.path = path
        self.tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.tab.set_default_timeout(10_000)  # milliseconds
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.messages.append(message.text))
        self.tab.on("pageerror", lambda error: self.messages.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(path.as_uri())
        self.tab.wait_for_function(
            "[...document.querySelectorAll('.chart')].every(e => e.querySelector('.area'))"
        )

    def each(self, selector: str, expression: str) -> list[Any]:
        """The value of ``expression`` for each element ``e`` that matches ``selector``."""
        found = self.tab.eval_on_selector_all(selector, f"all => all.map(e => {expression})")
        assert isinstance(found, list)
        return found

    def assert_no_messages_or_requests(self) -> None:
        """The console is empty, and only the file itself was requested."""
        assert self.messages == []
        assert [url for url in self.requests if not url.startswith("data:")] == [self.path.as_uri()]


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def page_of_one_model(
    request: pytest.FixtureRequest,
    browser: Any,
    observations: dict[str, Observation],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OpenPage]:
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(render_page([observations["LSTM"]], "an image"), encoding="utf-8")
    shown = OpenPage(browser, path, request.param)
    yield shown
    shown.tab.close()


@pytest.fixture
def opened(page_of_one_model: OpenPage) -> OpenPage:
    """The page at the top, with the slider, the menu and the mouse where they were at first."""
    tab = page_of_one_model.tab
    tab.fill("#slider", tab.get_attribute("#slider", "value"))
    tab.select_option("select", "1")  # the last layer
    tab.mouse.move(0, 0)
    tab.evaluate("scrollTo(0, 0)")
    return page_of_one_model


# The middle of a row of the plot and the middle of the marker, both in pixels of the page.
MIDDLES = """(e => {
    const plot = e.querySelector('.area > *').getBoundingClientRect();
    const marker = e.querySelector('.marker').getBoundingClientRect();
    return [plot.top + plot.height * (ROW + 0.5) / COUNT, (marker.top + marker.bottom) / 2];
})(e)"""


@pytest.mark.slow
def test_the_slider_moves_the_marker_in_every_panel(opened: OpenPage) -> None:
    for row in (0, 3, 7):
        opened.tab.fill("#slider", str(row))
        assert opened.tab.inner_text(".step") == f"step {row + 1} of 8"
        assert opened.tab.get_attribute("#slider", "aria-valuetext") == f"step {row + 1} of 8"
        middles = opened.each(
            ".panel", MIDDLES.replace("ROW", str(row)).replace("COUNT", str(len(IMAGE)))
        )
        assert len(middles) == PANELS["LSTM"]
        for expected, got in middles:
            assert abs(expected - got) < 1
    opened.assert_no_messages_or_requests()


@pytest.mark.slow
def test_the_slider_changes_the_prediction(
    opened: OpenPage, observations: dict[str, Observation]
) -> None:
    predictions = [
        f"LSTM: {row.argmax()} ({row.max():.0%})" for row in observations["LSTM"].probabilities
    ]
    assert len(set(predictions)) > 2
    for row in (0, 2, 7, 4):
        opened.tab.fill("#slider", str(row))
        assert opened.tab.inner_text(".predictions") == predictions[row]


@pytest.mark.slow
def test_the_menu_changes_the_layer(opened: OpenPage, observations: dict[str, Observation]) -> None:
    drawn = "(c => Array.from(c.values.slice(5 * c.width, 6 * c.width)))(e.querySelector('canvas'))"
    assert opened.tab.input_value("select") == "1"
    for layer in (0, 1):
        opened.tab.select_option("select", str(layer))
        cell = observations["LSTM"].cells[layer]
        order = np.abs(cell.states["hidden"]).argmax(axis=0).argsort(kind="stable")
        for name, values in (
            ("state-cell", cell.states["cell"]),
            ("gate-input", cell.gates["input"]),
        ):
            (row,) = opened.each(f'[data-key="{name}"]', drawn)
            np.testing.assert_allclose(row, values[5][order], atol=1e-6)
    opened.assert_no_messages_or_requests()


@pytest.mark.slow
def test_hover_text_shows_unit_step_and_value(
    opened: OpenPage, observations: dict[str, Observation]
) -> None:
    chart = opened.tab.locator('[data-key="gate-forget"] .area')
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    opened.tab.mouse.move(box["x"] + box["width"] * 2.5 / 12, box["y"] + box["height"] * 4.5 / 8)
    unit, step, forget = opened.each('[data-key="gate-forget"] .hover span', "e.textContent")
    cell = observations["LSTM"].cells[1]
    order = np.abs(cell.states["hidden"]).argmax(axis=0).argsort(kind="stable")
    assert (unit, step) == (f"unit {order[2]}", "step 5")
    assert forget == f"forget gate {cell.gates['forget'][4, order[2]]:.3f}"


@pytest.mark.slow
def test_a_heatmap_has_the_colours_of_its_scale(
    opened: OpenPage, observations: dict[str, Observation]
) -> None:
    pixels = """(c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data])(
        e.querySelector('canvas'))"""
    (drawn,) = opened.each('[data-key="gate-forget"]', pixels)
    cell = observations["LSTM"].cells[1]
    order = np.abs(cell.states["hidden"]).argmax(axis=0).argsort(kind="stable")
    stops = np.array([[int(hex[n : n + 2], 16) for n in (1, 3, 5)] for hex in GREEN_TO_BROWN])
    at = np.linspace(0, 1, len(stops))
    expected = [np.interp(cell.gates["forget"][:, order], at, channel) for channel in stops.T]
    rgb = np.array(drawn).reshape(8, 12, 4)[..., :3]
    np.testing.assert_allclose(rgb, np.stack(expected, axis=-1), atol=2)  # of 256 levels


OVERLAPS = """() => {
    const found = [];
    const boxes = [...document.querySelectorAll(
        'header, .controls, .model-head > *, .scales, .panel h3, .legend, .plot, .caption'
    )].map(e => [e, e.getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
    for (const [a, p] of boxes) {
        if (p.left < -1 || p.right > innerWidth + 1) found.push(['beyond the edge', a.className]);
        for (const [b, q] of boxes) {
            if (a === b) break;
            const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
            const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
            if (wide > 1 && high > 1) found.push([a.outerHTML, b.outerHTML]);
        }
    }
    for (const text of document.querySelectorAll('h3, .legend, .caption')) {
        if (text.scrollHeight > text.clientHeight + 1) found.push(['overflows', text.textContent]);
    }
    for (const plot of document.querySelectorAll('.chart')) {
        const within = plot.getBoundingClientRect();
        for (const text of plot.querySelectorAll('.xtick, .ytick, .axis-title')) {
            const box = text.getBoundingClientRect();
            const out = box.bottom > within.bottom + 1 || box.right > within.right + 2
                || box.left < within.left - 1 || box.top < within.top - 2;
            if (box.width && out) found.push(['text beyond its chart', text.textContent]);
        }
        for (const axis of ['.xtick, .axis-title', '.ytick']) {
            const ticks = [...plot.querySelectorAll(axis)]
                .map(text => text.getBoundingClientRect());
            ticks.forEach((p, i) => ticks.slice(i + 1).forEach(q => {
                if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > 0
                    && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 2)
                    found.push(['ticks overlap', axis, plot.closest('.panel').dataset.key]);
            }));
        }
    }
    return found;
}"""


@pytest.mark.slow
def test_nothing_overlaps(opened: OpenPage) -> None:
    assert opened.tab.evaluate(OVERLAPS) == []
    assert opened.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_plots_of_one_row_have_the_same_top(opened: OpenPage) -> None:
    tops = opened.each(".overview .plot", "e.getBoundingClientRect().top")
    wide = opened.tab.viewport_size["width"] > 1100
    assert len({round(top) for top in tops}) == (1 if wide else 5)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_three_models_are_shown_side_by_side(
    browser: Any, observations: dict[str, Observation], tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "compared.html"
    path.write_text(render_page(list(observations.values()), "an image"), encoding="utf-8")
    shown = OpenPage(browser, path, size)
    shown.tab.fill("#slider", "4")
    middles = shown.each(".panel", MIDDLES.replace("ROW", "4").replace("COUNT", "8"))
    assert len(middles) == sum(PANELS.values())
    assert max(abs(expected - got) for expected, got in middles) < 1
    assert shown.tab.evaluate(OVERLAPS) == []
    tops = shown.each('[data-key="prediction"] .plot', "e.getBoundingClientRect().top")
    assert (max(tops) - min(tops) < 1) == (size[0] > 760)
    shown.assert_no_messages_or_requests()
    shown.tab.close()


@pytest.mark.slow
def test_a_page_of_784_steps_opens_within_five_seconds(browser: Any, tmp_path: Path) -> None:
    image = torch.randint(256, (28, 28), dtype=torch.uint8)
    model = classifier(nn, "GRU", input_size=1)
    path = tmp_path / "pixels.html"
    path.write_text(
        render_page([observe(model, image, sequence="pixels")], "an image"), encoding="utf-8"
    )
    shown = OpenPage(browser, path, SIZES[0])
    milliseconds = shown.tab.evaluate("performance.now()")
    shown.tab.fill("#slider", "100")  # steps 400 to 403: row 14 of the image, columns 8 to 11
    assert shown.tab.inner_text(".step") == "step 401–404 of 784"
    assert milliseconds < 5000
    marker = '[data-key="input"] .marker'
    (column,) = shown.each(
        marker,
        "(b => (m => (b.left + b.width / 2 - m.left) / m.width)(e.getBoundingClientRect()))"
        "(e.querySelector('i').getBoundingClientRect())",
    )
    assert column == pytest.approx(10 / 28, abs=0.01)
    assert shown.tab.evaluate(OVERLAPS) == []
    shown.assert_no_messages_or_requests()
    shown.tab.close()
