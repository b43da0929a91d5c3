"""The live page in a real browser: drawing, playing, intervening, explaining, sharing."""

import base64
import io
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1400, 900), (390, 844)
STEPS, CLASSES = 28, 10
FORGET_SHUT = {"type": "gate", "gate": "forget", "value": 0}
# Strokes in a square of 280 x 280.
SEVEN = [[(70, 60), (200, 60), (120, 230)]]
FOUR = [[(110, 50), (80, 150), (200, 150)], [(170, 80), (165, 240)]]


@pytest.fixture(scope="module")
def live_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The live page of the documentation: an RNN, a GRU and an LSTM trained on MNIST."""
    path = tmp_path_factory.mktemp("live") / "live.html"
    render = runpy.run_path(str(ROOT / "docs" / "live_page.py"))["render"]
    path.write_text(render(), encoding="utf-8")
    return path


class LivePage:
    """The page in a tab. It collects console messages and requests."""

    def __init__(self, browser: Any, path: Path, size: tuple[int, int], **options: Any) -> None:
        viewport = {"width": size[0], "height": size[1]}
        self.path = path
        self.tab = browser.new_page(viewport=viewport, **options)
        self.tab.set_default_timeout(10_000)  # milliseconds
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.messages.append(message.text))
        self.tab.on("pageerror", lambda error: self.messages.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.open()

    def open(self, fragment: str = "") -> None:
        """Load the page with a fragment; ``#`` begins with an empty square."""
        self.tab.goto("about:blank")
        self.tab.goto(self.path.as_uri() + fragment)
        self.settle()

    def settle(self) -> None:
        """Wait until the page has drawn everything, the gradients included."""
        self.tab.wait_for_timeout(50)
        self.tab.wait_for_function(
            "Object.keys(document.querySelectorAll('.network')).length > 0 && "
            "performance.now() - performance.getEntriesByName('answer')[0].startTime > 260"
        )

    def close(self) -> None:
        """Close the tab; nothing may have been written to the console or requested."""
        self.tab.close()
        assert self.messages == []
        own = ("about:", "data:", "blob:", self.path.as_uri())
        assert [url for url in self.requests if not url.startswith(own)] == []

    def draw(self, strokes: list[list[tuple[int, int]]]) -> None:
        box = self.tab.locator("#pad").bounding_box()
        scale = box["width"] / 280
        for stroke in strokes:
            first, *others = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in stroke]
            self.tab.mouse.move(*first)
            self.tab.mouse.down()
            for point in others:
                self.tab.mouse.move(*point, steps=8)
            self.tab.mouse.up()
        self.settle()

    def press(self, name: str) -> None:
        self.tab.get_by_role("button", name=name, exact=True).click()

    def pixels(self) -> NDArray[np.uint8]:
        return np.array(self.tab.evaluate("Array.from(Drawing.pixels())"), np.uint8)

    def answers(self) -> list[tuple[str, str]]:
        """Class and probability of each network, as the page shows them."""
        names = self.tab.locator(".winner-name").all_inner_texts()
        return list(zip(names, self.tab.locator(".winner-share").all_inner_texts(), strict=True))

    def run(self, interventions: list[dict[str, Any]], step: int = STEPS - 1) -> list[Any]:
        """The answers that window.explorer.run gives for the drawing."""
        return self.tab.evaluate(
            """([interventions, step]) => explorer.models.map((model, run) => {
                const mine = interventions.filter((each) => !Engine.problem(model, each));
                const result = explorer.run(Drawing.pixels(), {run, interventions: mine});
                const shares = result.probabilities[step];
                const winner = shares.indexOf(Math.max(...shares));
                return [model.class_names[winner], Texts.percent(shares[winner])];
            })""",
            [interventions, step],
        )

    def assert_answers(self, interventions: list[dict[str, Any]], step: int = STEPS - 1) -> None:
        assert self.answers() == [tuple(each) for each in self.run(interventions, step)]

    def plot(self, network: int, name: str) -> Any:
        return self.tab.locator(f".network >> nth={network} >> [data-name={name}] .plot")


@pytest.fixture(scope="module")
def desktop(browser: Any, live_file: Path) -> Iterator[LivePage]:
    page = LivePage(browser, live_file, DESKTOP)
    yield page
    page.close()


@pytest.fixture
def live(desktop: LivePage) -> LivePage:
    """The page with a 7 from the test images, the guide closed."""
    desktop.open()
    desktop.tab.evaluate("document.getElementById('guide').hidden = true")
    return desktop


# --- drawing ----------------------------------------------------------------------------------


def centred_like_mnist(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ink (n, n), 0 to 1, as MNIST was made, by torch's mean over areas."""
    rows, columns = np.nonzero(ink > 0.1)
    box = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = 20 / max(box.shape)
    height, width = (max(1, int(np.floor(size * scale + 0.5))) for size in box.shape)
    # An exact mean over areas: repeat every pixel, then average whole blocks.
    repeated = np.kron(box, np.ones((height, width)))
    small = repeated.reshape(height, box.shape[0], width, box.shape[1]).mean(axis=(1, 3))
    centre = [
        (small.sum(axis=1 - axis) * np.arange(small.shape[axis])).sum() / small.sum()
        for axis in (0, 1)
    ]
    top, left = (int(np.floor(14 - each + 0.5)) for each in centre)
    image = np.zeros((28, 28))
    image[top : top + height, left : left + width] = small
    return image


@pytest.mark.parametrize(("strokes", "digit"), [(SEVEN, "7"), (FOUR, "4")], ids=["7", "4"])
def test_a_drawing_is_centred_as_mnist_and_answered(
    live: LivePage, strokes: list[list[tuple[int, int]]], digit: str
) -> None:
    live.press("Clear")
    live.draw(strokes)
    assert [name for name, _ in live.answers()] == [digit] * 3
    live.assert_answers([])
    alpha = live.tab.evaluate(
        "Array.from(document.getElementById('pad').getContext('2d')"
        ".getImageData(0, 0, 280, 280).data.filter((_, index) => index % 4 === 3))"
    )
    expected = 255 * centred_like_mnist(np.array(alpha).reshape(280, 280) / 255)
    np.testing.assert_allclose(live.pixels().reshape(28, 28), expected, atol=0.51)


def test_clear_and_undo(live: LivePage) -> None:
    before = live.pixels()
    live.press("Clear")
    assert live.tab.locator("#pad-hint").is_visible()
    assert not live.pixels().any()
    live.draw(SEVEN)
    drawn = live.pixels()
    live.draw([[(20, 20), (60, 260)]])
    assert (live.pixels() != drawn).any()
    live.press("Undo")
    np.testing.assert_array_equal(live.pixels(), drawn)
    live.press("Undo")
    live.press("Undo")
    np.testing.assert_array_equal(live.pixels(), before)


def test_a_test_image_is_read_unchanged(live: LivePage) -> None:
    sample = live.tab.evaluate("explorer.data.samples[3]")
    live.press(f"test image {sample['index']}: {sample['label']}")
    live.settle()
    expected = np.frombuffer(base64.b64decode(sample["pixels"]), np.uint8)
    np.testing.assert_array_equal(live.pixels(), expected)
    assert {name for name, _ in live.answers()} == {"3"}


def png(grey: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, format="png")
    return file.getvalue()


def test_pictures_are_loaded(live: LivePage) -> None:
    seven = live.pixels().reshape(28, 28)
    load = live.tab.locator("#picture-file").set_input_files
    # A photo of dark ink on grey paper, not centred
    photo = np.full((300, 240), 190.0)
    photo[40:236, 20:216] -= 0.6 * np.kron(seven, np.ones((7, 7)))
    load({"name": "photo.png", "mimeType": "image/png", "buffer": png(photo)})
    live.settle()
    assert {name for name, _ in live.answers()} == {"7"}
    # An image of the model's size is not changed
    load({"name": "seven.png", "mimeType": "image/png", "buffer": png(seven)})
    live.settle()
    np.testing.assert_array_equal(live.pixels(), seven.ravel())
    load({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"not a picture"})
    live.tab.wait_for_selector("#picture-error:not(:empty)")
    assert live.tab.inner_text("#picture-error").startswith("notes.txt is not a picture")
    np.testing.assert_array_equal(live.pixels(), seven.ravel())


# --- time -------------------------------------------------------------------------------------


def test_slider_steps_play_and_clicks_select_the_row(live: LivePage) -> None:
    live.tab.fill("#step", "9")
    assert live.tab.inner_text("#step-name") == "row 10 of 28"
    live.assert_answers([], step=9)
    live.tab.get_by_label("One step forward").click()
    live.assert_answers([], step=10)
    live.tab.get_by_label("One step back").click()
    live.tab.get_by_label("One step back").click()
    live.assert_answers([], step=8)
    plot = live.plot(1, "update")
    box = plot.bounding_box()
    plot.click(position={"x": 20, "y": box["height"] * 17.5 / STEPS})
    assert live.tab.inner_text("#step-name") == "row 18 of 28"
    live.assert_answers([], step=17)
    live.tab.fill("#step", str(STEPS - 1))
    live.tab.click("#play")  # starts again from the first row
    live.tab.wait_for_function("document.getElementById('step').value > 2")
    assert live.tab.inner_text("#play") == "❚❚ Pause"
    live.tab.click("#play")
    step = int(live.tab.input_value("#step"))
    assert step < STEPS - 1
    live.assert_answers([], step=step)


def test_the_current_row_is_marked_in_every_panel(live: LivePage) -> None:
    live.tab.fill("#step", "13")
    middles = live.tab.eval_on_selector_all(
        ".plot",
        """plots => plots.map(plot => {
            const box = plot.getBoundingClientRect();
            const mark = plot.querySelector('.marker').getBoundingClientRect();
            return ((mark.top + mark.bottom) / 2 - box.top) / box.height;
        })""",
    )
    assert len(middles) == 3 + 6 + 8
    np.testing.assert_allclose(middles, 13.5 / STEPS, atol=0.01)


# --- panels -----------------------------------------------------------------------------------

# Whether a panel shows values of explorer.run: every unit once, in the order of the peak of |h|.
SHOWS = """([run, kind, name, scale, low, high, interventions]) => {
    const at = (list) => explorer.run(Drawing.pixels(), {run, interventions: list});
    const values = at(interventions)[kind][0][0][name], untouched = at([]).states[0][0].hidden;
    const peak = untouched[0].map((_, unit) => {
        const sizes = untouched.map((row) => Math.abs(row[unit]));
        return sizes.indexOf(Math.max(...sizes));
    });
    const order = [...peak.keys()].sort((a, b) => peak[a] - peak[b] || a - b);
    const expected = document.createElement('canvas');
    Colours.paint(expected, values.flat(), values.length, order.length, {scale, low, high, order});
    const panel = document.querySelectorAll('.network')[run].querySelector(`[data-name=${name}]`);
    return panel.querySelector('canvas').toDataURL() === expected.toDataURL();
}"""


@pytest.mark.parametrize("interventions", [[], [FORGET_SHUT]], ids=["untouched", "forget shut"])
def test_panels_show_the_gates_and_states(live: LivePage, interventions: list[Any]) -> None:
    if interventions:
        live.press("Hold the forget gate shut")
        live.settle()
    for run, kind, name, scale, low in (
        (0, "states", "hidden", "signed", -1),
        (1, "gates", "update", "gate", 0),
        (1, "gates", "candidate", "signed", -1),
        (2, "gates", "forget", "gate", 0),
        (2, "gates", "output", "gate", 0),
        (2, "states", "hidden", "signed", -1),
    ):
        mine = interventions if run == 2 else []
        assert live.tab.evaluate(SHOWS, [run, kind, name, scale, low, 1, mine]), (run, name)
    assert not live.tab.evaluate(
        SHOWS, [2, "gates", "input", "gate", 0, 1, [{"type": "cut", "step": 9}]]
    )


def test_the_difference_to_the_untouched_run_is_drawn(live: LivePage) -> None:
    canvas = "document.querySelector('.network:nth-child({}) [data-name={}] canvas').toDataURL()"
    assert live.tab.locator("#difference").is_disabled()
    live.press("Hold the forget gate shut")
    assert "untouched: 7" in live.tab.inner_text(".network:nth-child(3) .was")
    values = live.tab.evaluate(canvas.format(3, "hidden"))
    live.tab.check("#difference")
    assert live.tab.evaluate(canvas.format(3, "hidden")) != values
    blank = """(() => {
        const canvas = document.createElement('canvas');
        const scale = {scale: 'signed', low: -1, high: 1};
        Colours.paint(canvas, new Float32Array(28 * 48), 28, 48, scale);
        return canvas.toDataURL();
    })()"""
    live.press("Reset all")  # without interventions there is nothing to compare with
    assert not live.tab.is_checked("#difference")
    live.press("Cut the memory here")  # before the last row: all rows above are as they were
    live.tab.check("#difference")
    assert live.tab.evaluate(canvas.format(3, "forget")) != live.tab.evaluate(blank)
    live.press("Reset all")
    live.press("Hold the forget gate shut")
    live.tab.check("#difference")
    assert live.tab.evaluate(canvas.format(1, "hidden")) != live.tab.evaluate(blank)


def test_the_gradient_of_the_winning_class_is_drawn(live: LivePage) -> None:
    shown = live.tab.evaluate(
        """() => explorer.models.map((_, run) => {
            const {inputGradient, prediction} = explorer.run(Drawing.pixels(), {run});
            const values = inputGradient.flat(), high = Math.max(...values.map(Math.abs));
            const expected = document.createElement('canvas');
            Colours.paint(expected, values, 28, 28, {scale: 'signed', low: -high, high});
            const panel = document.querySelectorAll('[data-name=gradient]')[run];
            return panel.querySelector('canvas').toDataURL() === expected.toDataURL()
                && panel.querySelector('figcaption').textContent === `gradient of “${prediction}”`;
        })"""
    )
    assert shown == [True] * 3


def test_a_value_is_explained_by_its_equation(live: LivePage) -> None:
    plot = live.plot(2, "forget")
    box = plot.bounding_box()
    plot.hover(position={"x": box["width"] / 2, "y": box["height"] * 12.5 / STEPS})
    heading = live.tab.inner_text("#explain h2")
    assert heading.startswith("LSTM, forget gate f, unit ")
    assert heading.endswith(", row 13")
    unit = int(heading.split("unit ")[1].split(",")[0])
    value = live.tab.evaluate(
        f"explorer.run(Drawing.pixels(), {{run: 2}}).gates[0][0].forget[12][{unit}]"
    )
    assert live.tab.inner_text("#explain .equation") == "f = σ(W_if x + b_if + W_hf h + b_hf)"
    assert live.tab.inner_text("#explain .values").startswith(f"{value:.3f} = σ(")
    live.tab.mouse.move(5, 5)
    assert live.tab.inner_text("#explain h2") == "Explain a value"


# --- interventions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("button", "intervention"),
    [
        ("Hold the forget gate shut", FORGET_SHUT),
        ("Hold the forget gate open", FORGET_SHUT | {"value": 1}),
        ("Hold update gate open", {"type": "gate", "gate": "update", "value": 1}),
        ("Cut the memory here", {"type": "cut", "step": 20}),
        ("Remove recurrent weights", {"type": "no_recurrence"}),
    ],
)
def test_an_experiment_changes_the_answer(
    live: LivePage, button: str, intervention: dict[str, Any]
) -> None:
    before = live.answers()
    if intervention["type"] == "cut":
        live.tab.fill("#step", "20")
    live.press(button)
    live.tab.fill("#step", str(STEPS - 1))
    assert live.answers() != before
    live.assert_answers([intervention])
    assert live.tab.inner_text("#look").startswith("Look at ")
    live.press(button)  # a second click releases it
    assert live.answers() == before


def add(live: LivePage, action: str, target: str, unit: str, network: str) -> None:
    """Fill in the form for any intervention."""
    form = live.tab.locator("#add")
    if not form.is_visible():
        live.tab.click("summary")
    live.tab.select_option("#network", label=network)
    live.tab.select_option("#action", label=action)
    live.tab.select_option("#target", label=target)
    live.tab.fill("#unit", unit)
    live.tab.click("#add button")


def test_any_gate_state_and_unit_by_the_form(live: LivePage) -> None:
    live.tab.fill("#step", "12")
    add(live, "hold at 1", "output gate", "", "all networks")
    add(live, "set to 0", "hidden state", "5", "GRU")
    add(live, "freeze from here", "cell state", "", "LSTM")
    live.tab.fill("#step", str(STEPS - 1))
    answers = live.answers()
    gru = {"type": "zero", "state": "hidden", "unit": 5}
    lstm = [
        {"type": "gate", "gate": "output", "value": 1},
        {"type": "freeze", "state": "cell", "from": 12},
    ]
    assert answers[0] == tuple(live.run([])[0])
    assert answers[1] == tuple(live.run([gru])[1])
    assert answers[2] == tuple(live.run(lstm)[2])
    chips = live.tab.locator("#active button").all_inner_texts()
    assert chips == [
        "output gate at 1 ✕",
        "GRU: hidden state h at 0, unit 5 ✕",
        "LSTM: cell state c frozen from row 13 ✕",
    ]
    live.press("Remove: GRU: hidden state h at 0, unit 5")
    assert live.answers()[1] == tuple(live.run([])[1])
    live.press("Reset all")
    live.assert_answers([])
    assert live.tab.locator("#active button").count() == 0


def test_one_unit_is_held_from_its_panel(live: LivePage) -> None:
    plot = live.plot(2, "input")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    unit = int(live.tab.inner_text("#explain h2").split("unit ")[1].split(",")[0])
    live.press("Hold this unit at 1")
    assert "held at 1 by an intervention" in live.tab.inner_text("#explain .meaning")
    live.tab.fill("#step", str(STEPS - 1))
    live.assert_answers([{"type": "gate", "gate": "input", "value": 1, "unit": unit}])


def test_every_mistake_of_the_menu_is_applied(live: LivePage) -> None:
    ids = live.tab.eval_on_selector_all("#mistake option", "all => all.map(each => each.value)")
    assert ids[0] == ""
    assert len(ids) > 15
    changed = set()
    untouched = live.answers()
    for mistake in ids[1:]:
        live.tab.select_option("#mistake", mistake)
        live.assert_answers([{"type": "mistake", "id": mistake, "variant": 0}])
        assert live.tab.inner_text("#mistake-right")
        if live.answers() != untouched:
            changed.add(mistake)
    assert len(changed) > len(ids) / 2
    live.tab.select_option("#mistake", "")
    assert live.answers() == untouched


# --- the link ---------------------------------------------------------------------------------


def test_a_link_restores_drawing_interventions_and_row(live: LivePage) -> None:
    live.press("Clear")
    live.draw(FOUR)
    live.press("Hold the forget gate shut")
    add(live, "set to 0", "hidden state", "3", "RNN")
    live.tab.fill("#step", "19")
    live.press("Copy link")
    live.settle()
    drawn, answers = live.pixels(), live.answers()
    link = live.tab.input_value("#link-text")
    assert link.startswith(live.path.as_uri() + "#")
    live.open("#" + link.split("#")[1])
    np.testing.assert_array_equal(live.pixels(), drawn)
    assert live.answers() == answers
    assert live.tab.inner_text("#step-name") == "row 20 of 28"
    assert live.tab.locator("#active button").count() == 2
    assert live.tab.evaluate("location.hash") == "#" + link.split("#")[1]


@pytest.mark.parametrize(
    "fragment",
    [
        "#nonsense",
        "#d=AAAA&t=99999&i=[",
        "#d=%%%&t=-4&i=null",
        '#i=[null,3,{"type":"gate","gate":"nose","value":0},{"type":"mistake","id":"__proto__"}]',
        '#i=[{"type":"gate","gate":"forget","value":0,"unit":4800},{"type":"cut","step":1e9}]',
        '#i=[{"type":"zero","state":"hidden","run":7},{"type":"gate","gate":"forget","value":"0"}]',
    ],
)
def test_a_malformed_link_is_ignored(live: LivePage, fragment: str) -> None:
    live.open(fragment)
    assert live.tab.locator("#active button").count() == 0
    live.tab.evaluate("Drawing.show(Engine.bytes(explorer.data.samples[7].pixels))")
    live.settle()
    live.assert_answers([])


# --- predict first ----------------------------------------------------------------------------


def test_predict_first_hides_the_change_until_it_is_predicted(live: LivePage) -> None:
    before = live.answers()
    live.tab.check("#predict")
    live.press("Hold the forget gate shut")
    assert live.answers() == before
    assert "Hold the forget gate shut" in live.tab.inner_text("#prediction-title")
    menus = live.tab.locator("#prediction-networks select")
    assert live.tab.locator("#prediction-networks").inner_text().startswith("LSTM")
    assert menus.count() == 1
    live.press("Show")  # without a prediction nothing is shown
    assert live.answers() == before
    answer = live.run([FORGET_SHUT])[2][0]
    menus.first.select_option(answer)
    live.press("Show")
    live.assert_answers([FORGET_SHUT])
    result = live.tab.inner_text("#prediction-result")
    assert result == f"LSTM answers {answer}: as you predicted. 1 of 1 right."
    live.press("Remove recurrent weights")
    assert menus.count() == 3
    live.press("Cancel")
    live.assert_answers([FORGET_SHUT])
    live.tab.uncheck("#predict")


# --- for everybody ----------------------------------------------------------------------------


def test_everything_is_possible_by_keyboard(live: LivePage) -> None:
    keys = live.tab.keyboard
    reached: list[str] = []
    live.tab.focus("#predict")  # the first control
    name = """document.activeElement.id || document.activeElement.getAttribute('aria-label')
        || document.activeElement.textContent.trim().slice(0, 30)"""
    while not reached or reached[-1] not in reached[:-1]:
        keys.press("Tab")
        reached.append(live.tab.evaluate(name))
    for name in ("pad", "undo", "clear", "picture", "play", "step", "mistake", "predict"):
        assert name in reached
    assert sum(name.startswith("test image ") for name in set(reached)) == CLASSES
    assert sum("Arrow keys select a value" in name for name in set(reached)) == 3 + 6 + 8
    live.tab.focus("#clear")
    keys.press("Enter")
    live.tab.focus("#pad")
    keys.press("Space")
    for key in ["ArrowDown"] * 6 + ["ArrowUp"] * 12:
        keys.press(key)
    keys.press("Space")
    live.settle()
    assert [name for name, _ in live.answers()].count("1") >= 2
    plot = live.plot(1, "reset")
    plot.focus()
    keys.press("ArrowUp")
    keys.press("ArrowRight")
    assert ", row 27" in live.tab.inner_text("#explain h2")
    keys.press("Enter")
    assert live.tab.inner_text("#step-name") == "row 27 of 28"
    live.tab.focus("#explain button >> nth=0")
    keys.press("Enter")
    assert live.tab.locator("#active button").count() == 1
    live.settle()
    announced = live.tab.inner_text("#announcement")
    assert announced.startswith("After row 27: RNN: ")
    assert "untouched" in announced


def test_the_guide_leads_to_the_forget_gate(live: LivePage) -> None:
    live.press("Guide")
    texts = []
    for _ in range(4):
        texts.append(live.tab.inner_text("#guide-text"))
        if live.tab.locator("#guide-do").inner_text() == "Hold it shut":
            break
        live.press("Next")
    live.press("Hold it shut")
    live.assert_answers([FORGET_SHUT])
    live.press("Next")
    live.press("Release")
    live.assert_answers([])
    assert len(texts) == 4
    live.press("Done")
    assert live.tab.locator("#guide").is_hidden()


OVERLAPS = """() => {
    const found = [];
    const boxes = [...document.querySelectorAll(
        'h1, h2, h3, button, select, input, label, summary, .pad, .seen, figcaption, .plot, ' +
        '.bars, .answer, .about, .update, #legends, #explain, #look, #guide p, output'
    )].filter(e => !e.closest('[hidden]') && e.getClientRects().length);
    for (const a of boxes) {
        const p = a.getBoundingClientRect();
        if (p.left < -1 || p.right > innerWidth + 1) found.push(['beyond the edge', a.outerHTML]);
        for (const b of boxes) {
            if (a === b) break;
            if (a.contains(b) || b.contains(a)) continue;
            const q = b.getBoundingClientRect();
            const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
            const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
            if (wide > 1 && high > 1) found.push([a.outerHTML, b.outerHTML]);
        }
    }
    return found;
}"""


def use_everything(page: LivePage) -> None:
    """Show every part of the page that appears only in use."""
    page.press("Hold the forget gate shut")
    page.tab.select_option("#mistake", "swapped-update")
    add(page, "set to 0", "hidden state", "3", "GRU")
    page.plot(2, "output").click(position={"x": 20, "y": 20})
    page.tab.check("#predict")
    page.press("Cut the memory here")
    page.settle()


@pytest.mark.parametrize("size", [PHONE, (768, 1024), (1024, 768), DESKTOP], ids=str)
def test_nothing_overlaps(browser: Any, live_file: Path, size: tuple[int, int]) -> None:
    page = LivePage(browser, live_file, size)
    use_everything(page)
    assert page.tab.evaluate(OVERLAPS) == []
    assert page.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_three_networks_are_visible_without_scrolling(live: LivePage) -> None:
    live.press("Guide")
    live.press("Hold the forget gate shut")
    live.plot(2, "output").click(position={"x": 20, "y": 20})
    boxes = live.tab.eval_on_selector_all(
        ".network, .playback, #experiments, #explain",
        "all => all.map(e => { const b = e.getBoundingClientRect(); return [b.top, b.bottom]; })",
    )
    assert len(boxes) == 6
    assert all(0 <= top < bottom <= DESKTOP[1] for top, bottom in boxes)


def test_a_finger_draws_and_does_not_scroll(browser: Any, live_file: Path) -> None:
    page = LivePage(browser, live_file, PHONE, has_touch=True, is_mobile=True)
    page.tab.tap("#guide-close")
    page.tab.tap("#clear")
    box = page.tab.locator("#pad").bounding_box()
    touch = page.tab.context.new_cdp_session(page.tab)
    points = [(0.25, 0.2), (0.5, 0.2), (0.72, 0.2), (0.6, 0.5), (0.5, 0.7), (0.43, 0.85)]
    for index, (x, y) in enumerate(points):
        kind = "touchMove" if index else "touchStart"
        at = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.settle()
    assert [name for name, _ in page.answers()] == ["7"] * 3
    assert page.tab.evaluate("scrollY") == 0
    page.assert_answers([])
    plot = page.plot(1, "update")
    plot.scroll_into_view_if_needed()
    plot.tap(position={"x": 30, "y": 30})
    if page.tab.inner_text("#explain h2") == "Explain a value":
        plot.tap(position={"x": 30, "y": 30})  # on a busy machine a tap can become a long press
    assert page.tab.inner_text(".network:nth-child(2) #explain h2").startswith("GRU, update gate")
    page.close()


# The lowest contrast of a text to the nearest background that is not transparent (WCAG 2).
CONTRASTS = """() => {
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const rgb = text => text.match(/[\\d.]+/g).map(Number);
    const ground = e => {
        for (; e; e = e.parentElement) {
            const colour = rgb(getComputedStyle(e).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')].filter(e => e.getClientRects().length
        && !e.disabled && !e.matches('#pad-hint, option, script, style')
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
        .map(e => {
            const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 80)];
        }).filter(([contrast]) => contrast < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(live: LivePage, scheme: str) -> None:
    live.tab.emulate_media(color_scheme=scheme)
    use_everything(live)
    live.press("Guide")
    assert live.tab.evaluate(CONTRASTS) == []
    background = live.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    live.tab.emulate_media(color_scheme="light")
    live.tab.uncheck("#predict")
