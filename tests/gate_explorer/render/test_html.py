"""The page in a real browser: it draws, follows the slider, and asks nothing of the network."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import builtin_models
import scratch_cells
from gate_explorer import Observation, observe
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panels import Heat
from gate_explorer.render.html import page
from shared_interface import SequenceClassifier

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = [(1280, 800), (390, 844)]
PANELS = {"RNN": 6, "GRU": 9, "LSTM": 11}
IMAGE = torch.randint(256, (8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier(package: Any, kind: str, input_size: int = 8, **options: Any) -> SequenceClassifier:
    torch.manual_seed(0)
    layer = getattr(package, kind)(input_size, 12, batch_first=True, **options)
    model = SequenceClassifier(layer, 10)
    torch.nn.init.normal_(model.readout.weight, std=2.0)  # so that answers change on the way
    return model


@pytest.fixture(scope="module")
def observations() -> dict[str, Observation]:
    return {
        "RNN": observe(classifier(scratch_cells, "RNN"), IMAGE, name="scratch rnn"),
        "GRU": observe(classifier(nn, "GRU", bidirectional=True), IMAGE, name="builtin gru"),
        "LSTM": observe(classifier(builtin_models, "LSTM", num_layers=2), IMAGE, label=3),
    }


def page_data(html: str) -> Any:
    start = html.index('<script type="application/json" id="page">') + 42
    return json.loads(html[start : html.index("</script>", start)])


def numbers(array: dict[str, Any]) -> np.ndarray[Any, Any]:
    """A plotly array that is written as base64."""
    flat = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
    return flat.reshape([int(size) for size in array.get("shape", str(len(flat))).split(",")])


def test_the_charts_hold_the_observed_numbers(observations: dict[str, Observation]) -> None:
    lstm = observations["LSTM"]
    (run,) = page_data(page([lstm], "an image"))["runs"]
    for cell, shown in zip(lstm.cells, run["cells"], strict=True):
        charts = shown["charts"]
        answer = numbers(charts["answer"]["data"][0]["z"])
        np.testing.assert_allclose(answer, lstm.probabilities, atol=1e-7)
        forget = charts["gate-forget"]["data"][0]
        units = [int(unit) for unit in forget["x"]]
        np.testing.assert_allclose(numbers(forget["z"]), cell.gates["forget"][:, units], atol=1e-7)
        by_name = {line["name"]: numbers(line["x"]) for line in charts["gradient"]["data"]}
        np.testing.assert_allclose(by_name["x"], lstm.input_gradient, rtol=1e-6)
        np.testing.assert_allclose(by_name["h"], cell.gradients["hidden"], rtol=1e-6)
        np.testing.assert_allclose(by_name["c"], cell.gradients["cell"], rtol=1e-6)


def test_replayed_gates_are_admitted(observations: dict[str, Observation]) -> None:
    difference = observations["LSTM"].difference
    assert difference is not None
    html = page([observations["LSTM"]], "an image")
    assert f"the model's own: {difference.max():.1e}." in html.replace("&#x27;", "'")
    assert "replayed" not in page([observations["RNN"]], "an image")


def test_names_from_outside_cannot_become_markup() -> None:
    names = tuple(f"</script><b>{number}" for number in range(10))
    model = classifier(nn, "GRU")
    html = page([observe(model, IMAGE, class_names=names, label=3, name="<b>x")], "<b>title")
    assert "</script><b>" not in html
    assert "<b>title" not in html
    assert "<b>x" not in html


def test_long_sequences_stay_small_and_say_so() -> None:
    image = torch.randint(256, (28, 28), dtype=torch.uint8)
    runs = []
    for kind in ("RNN", "GRU", "LSTM"):
        layer = getattr(nn, kind)(1, 300, batch_first=True)
        runs.append(observe(SequenceClassifier(layer, 10), image, sequence="pixels"))
    html = page(runs, "an image")
    assert len(html.encode()) < 15e6
    assert "each row is the mean of 4 steps" in html
    assert "Of 300 units 150 are shown" in html
    (hidden,) = [p for p in build_panels(runs)[2].cells[0].inside if p.key == "state-hidden"]
    units = [int(unit) for unit in hidden.columns]
    expected = runs[2].cells[0].states["hidden"][4:8, units].mean(axis=0)
    np.testing.assert_allclose(hidden.values[1], expected, atol=1e-6)
    (answer,) = [p for p in build_panels(runs)[2].cells[0].overview if p.key == "answer"]
    assert isinstance(answer, Heat)
    np.testing.assert_array_equal(answer.values, runs[2].probabilities[3::4])


# --- in the browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Opened:
    """A page that has been drawn, and everything that it said and asked for meanwhile."""

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
            "[...document.querySelectorAll('.chart')]"
            ".every(e => e.querySelector('.yaxislayer-above'))"
        )

    def each(self, selector: str, expression: str) -> list[Any]:
        """``expression`` of every element that ``selector`` finds."""
        found = self.tab.eval_on_selector_all(selector, f"all => all.map(e => {expression})")
        assert isinstance(found, list)
        return found

    def assert_quiet(self) -> None:
        """Nothing was printed, and nothing but the file itself and its own data was asked for."""
        assert self.messages == []
        assert [url for url in self.requests if not url.startswith("data:")] == [self.path.as_uri()]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def opened(
    request: pytest.FixtureRequest,
    browser: Any,
    observations: dict[str, Observation],
    tmp_path: Path,
) -> Iterator[Opened]:
    path = tmp_path / "explorer.html"
    path.write_text(page([observations["LSTM"]], "an image"), encoding="utf-8")
    shown = Opened(browser, path, request.param)
    yield shown
    shown.tab.close()


# Where plotly itself puts the middle of a row, and where the marker is, both in pixels of the page.
MIDDLES = """(e => {
    const chart = e.querySelector('.chart'), axis = chart._fullLayout.yaxis;
    const rows = axis._categories.length, row = ROW;
    const middle = (row + 0.5) / COUNT * rows - 0.5;
    const marker = e.querySelector('.marker').getBoundingClientRect();
    return [axis._offset + axis.r2p(middle) + chart.getBoundingClientRect().top,
            (marker.top + marker.bottom) / 2];
})(e)"""


def test_the_slider_moves_the_marker_in_every_panel(opened: Opened) -> None:
    for row in (0, 3, 7):
        opened.tab.fill("#slider", str(row))
        assert opened.tab.inner_text(".step") == f"step {row}"
        middles = opened.each(
            ".panel", MIDDLES.replace("ROW", str(row)).replace("COUNT", str(len(IMAGE)))
        )
        assert len(middles) == PANELS["LSTM"]
        for expected, got in middles:
            assert abs(expected - got) < 1
    opened.assert_quiet()


def test_the_answer_follows_the_slider(
    opened: Opened, observations: dict[str, Observation]
) -> None:
    answers = [
        f"LSTM: {now.argmax()} ({now.max():.0%})" for now in observations["LSTM"].probabilities
    ]
    assert len(set(answers)) > 2
    for row in (0, 2, 7, 4):
        opened.tab.fill("#slider", str(row))
        assert opened.tab.inner_text(".answers") == answers[row]


def test_the_menu_changes_layer(opened: Opened, observations: dict[str, Observation]) -> None:
    drawn = "Array.from(e.querySelector('.chart')._fullData[0].z[5])"
    for layer in (1, 0):
        opened.tab.select_option("select", str(layer))
        cell = observations["LSTM"].cells[layer]
        order = np.abs(cell.states["hidden"]).argmax(axis=0).argsort(kind="stable")
        for name, values in (
            ("state-cell", cell.states["cell"]),
            ("gate-input", cell.gates["input"]),
        ):
            (row,) = opened.each(f'[data-key="{name}"]', drawn)
            np.testing.assert_allclose(row, values[5][order], atol=1e-6)
    opened.assert_quiet()


def test_hovering_names_unit_step_and_value(opened: Opened) -> None:
    chart = opened.tab.locator('[data-key="gate-forget"] .chart')
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    opened.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    lines = opened.each('[data-key="gate-forget"] .hovertext .line', "e.textContent")
    assert [line.split()[0] for line in lines] == ["unit", "step", "forget"]


OVERLAPS = """() => {
    const found = [];
    const boxes = [...document.querySelectorAll(
        'header, .controls, .run-head > *, .scales, .panel h3, .legend, .plot, .words'
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
    for (const text of document.querySelectorAll('h3, .legend, .words')) {
        if (text.scrollHeight > text.clientHeight + 1) found.push(['spills', text.textContent]);
    }
    for (const plot of document.querySelectorAll('.chart')) {
        const within = plot.getBoundingClientRect();
        for (const text of plot.querySelectorAll('text')) {
            const box = text.getBoundingClientRect();
            const out = box.bottom > within.bottom + 1 || box.right > within.right + 2
                || box.left < within.left - 1 || box.top < within.top - 2;
            if (box.width && out) found.push(['text beyond its chart', text.textContent]);
        }
        for (const axis of ['.xtick', '.ytick']) {
            const ticks = [...plot.querySelectorAll(axis + ' text')]
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


def test_nothing_overlaps(opened: Opened) -> None:
    assert opened.tab.evaluate(OVERLAPS) == []
    assert opened.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_panels_side_by_side_stand_level(opened: Opened) -> None:
    tops = opened.each(".overview .plot", "e.getBoundingClientRect().top")
    wide = opened.tab.viewport_size["width"] > 1100
    assert len({round(top) for top in tops}) == (1 if wide else 5)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_three_runs_side_by_side(
    browser: Any, observations: dict[str, Observation], tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "compared.html"
    path.write_text(page(list(observations.values()), "an image"), encoding="utf-8")
    shown = Opened(browser, path, size)
    shown.tab.fill("#slider", "4")
    middles = shown.each(".panel", MIDDLES.replace("ROW", "4").replace("COUNT", "8"))
    assert len(middles) == sum(PANELS.values())
    assert max(abs(expected - got) for expected, got in middles) < 1
    assert shown.tab.evaluate(OVERLAPS) == []
    tops = shown.each('[data-key="answer"] .plot', "e.getBoundingClientRect().top")
    assert (max(tops) - min(tops) < 1) == (size[0] > 760)
    shown.assert_quiet()
    shown.tab.close()


def test_784_steps_open_in_time(browser: Any, tmp_path: Path) -> None:
    image = torch.randint(256, (28, 28), dtype=torch.uint8)
    model = classifier(nn, "GRU", input_size=1)
    path = tmp_path / "pixels.html"
    path.write_text(page([observe(model, image, sequence="pixels")], "an image"), encoding="utf-8")
    shown = Opened(browser, path, SIZES[0])
    milliseconds = shown.tab.evaluate("performance.now()")
    shown.tab.fill("#slider", "100")  # steps 400 to 403: row 14 of the digit, columns 8 to 11
    assert shown.tab.inner_text(".step") == "step 400–403"
    assert milliseconds < 5000
    marker = '[data-key="digit"] .marker'
    (column,) = shown.each(
        marker,
        "(b => (m => (b.left + b.width / 2 - m.left) / m.width)(e.getBoundingClientRect()))"
        "(e.querySelector('i').getBoundingClientRect())",
    )
    assert column == pytest.approx(10 / 28, abs=0.01)
    assert shown.tab.evaluate(OVERLAPS) == []
    shown.assert_quiet()
    shown.tab.close()
