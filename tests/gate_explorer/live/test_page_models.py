"""The live page with other models: sequences, directions, image sizes, cells of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gate_explorer.live.page import Sample, render_live_page, unsupported
from gate_explorer.live.spec import Spec, spec_of
from shared_interface import SequenceClassifier
from tests.gate_explorer.live.live_page import DESKTOP, LivePage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., LivePage]
CLASSES = ("T-shirt/top", "Trouser", "Bag")
IMAGE = torch.randint(256, (8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def random_spec(kind: str, sequence: str = "rows", **options: Any) -> Spec:
    torch.manual_seed(1)
    features = 8 if sequence in ("rows", "columns") else 1
    layer = getattr(nn, kind)(features, 6, batch_first=True, **options)
    model = SequenceClassifier(layer, len(CLASSES))
    nn.init.normal_(model.readout.weight, std=2.0)
    return spec_of(
        model, name=kind, sequence=sequence, image_size=(8, 8), class_names=CLASSES, accuracy=0.5
    )


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Open:
    """Open the page of some specs, with one test image, and close its guide."""

    def open_page(*models: Spec, sequence: str = "rows", dataset: str = "digits") -> LivePage:
        path = tmp_path / "live.html"
        html = render_live_page(
            models,
            [Sample(0, 1, IMAGE)],
            title="<title>",
            dataset=dataset,
            sequence=sequence,
            class_names=CLASSES,
        )
        path.write_text(html, encoding="utf-8")
        page = LivePage(browser, path, DESKTOP)
        assert page.tab.inner_text("h1") == "<title>"
        page.tab.click("#guide-close")
        return page

    return open_page


def test_every_prefix_in_two_directions(open_page: Open) -> None:
    page = open_page(random_spec("LSTM", num_layers=2, bidirectional=True))
    shown = page.tab.evaluate(
        """() => {
            const expected = document.createElement('canvas');
            const {probabilities} = explorer.run(Drawing.pixels(), {run: 0});
            const scale = {scale: 'probability', low: 0, high: 1};
            Colours.paint(expected, probabilities.flat(), 8, 3, scale);
            const canvas = document.querySelector('[data-name=probabilities] canvas');
            return canvas.toDataURL() === expected.toDataURL();
        }"""
    )
    assert shown
    for layer, reverse in ((0, False), (0, True), (1, True)):
        label = f"layer {layer}, {'reverse' if reverse else 'forward'}"
        page.tab.select_option(".network select", label=label)
        page.plot(0, "forget").hover(position={"x": 5, "y": 5})
        page.tab.wait_for_timeout(50)
        unit = int(page.tab.inner_text("#explain h2").split("unit ")[1].split(",")[0])
        value = page.tab.evaluate(
            f"explorer.run(Drawing.pixels(), {{run: 0}})"
            f".gates[{layer}][{int(reverse)}].forget[0][{unit}]"
        )
        assert page.tab.inner_text("#explain .values").startswith(f"{value:.3f} = ")
    page.close()


@pytest.mark.parametrize("sequence", ["columns", "permuted"])
def test_other_sequences(open_page: Open, sequence: str) -> None:
    page = open_page(random_spec("GRU", sequence), sequence=sequence, dataset="fashion-mnist")
    time = page.tab.evaluate("explorer.models[0].steps")
    kind = "column" if sequence == "columns" else "pixel"
    assert page.tab.inner_text("#step-name") == f"{kind} {time} of {time}"
    page.tab.fill("#step", "5")
    assert page.answers() == [tuple(page.run([], step=5)[0])]
    order = page.tab.evaluate("explorer.models[0].order")
    pixel = order[5] if order else 5
    left, top = page.tab.evaluate(
        """() => {
            const mark = document.getElementById('seen-mark').getBoundingClientRect();
            const image = document.getElementById('seen').getBoundingClientRect();
            return [(mark.left - image.left) / image.width, (mark.top - image.top) / image.height];
        }"""
    )
    column, row = (5, 0) if sequence == "columns" else (pixel % 8, pixel // 8)
    assert (left * 8, top * 8) == pytest.approx((column, row), abs=0.1)
    # A click on the gradient goes to the step that reads this pixel, or this column
    plot = page.plot(0, "gradient")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 0.19, "y": box["height"] * 3.5 / 8})  # row 3, column 1
    pixel = 3 * 8 + (1 if kind == "pixel" else 0)
    step = 3 if kind == "column" else (order.index(pixel) if order else pixel)
    assert page.tab.inner_text("#step-name") == f"{kind} {step + 1} of {time}"
    page.press("Clear")
    page.settle()
    assert page.tab.inner_text("#pad-hint") == "Draw a garment here"
    page.close()


def test_an_8_x_8_drawing_counts_ink_in_blocks(open_page: Open) -> None:
    page = open_page(random_spec("RNN"))
    page.press("Clear")
    page.draw([[(140, 40), (140, 240)]])  # a 1
    image = page.pixels().reshape(8, 8)
    assert set(image.ravel()) <= {round(255 * count / 16) for count in range(17)}
    assert (image[:, 3:5] == 255).mean() > 0.8  # as high as the bitmap of 32 x 32
    assert not image[:, [0, 1, 6, 7]].any()
    # The ink of a thin stroke and of a thick blot is that of the digits of the set.
    assert 0.25 < image.mean() / 255 < 0.38
    page.press("Clear")
    page.draw([[(100 + 80 * (k % 2), 40 + 14 * k) for k in range(14)]])
    assert 0.25 < page.pixels().mean() / 255 < 0.38
    page.assert_answers([], step=7)
    page.close()


def test_a_model_without_equations_is_replaced_by_the_reason(open_page: Open) -> None:
    reason = "the engine has no equations for this cell"
    page = open_page(random_spec("GRU"), unsupported("mine.py:<Cell>", reason))
    assert page.tab.inner_text(".unsupported") == f"mine.py:<Cell>: {reason}"
    assert page.tab.locator(".network").count() == 1
    page.press("Guide")
    page.press("Next")
    page.press("Next")
    assert "update gate" in page.tab.inner_text("#guide-text")
    page.close()


WRONG_ARGUMENTS = {
    "explorer.run()": "pixels is undefined: expected a flat array of 8 x 8 values",
    "explorer.run(Array(63).fill(0))": "pixels has 63 values: expected a flat array of 8 x 8",
    "explorer.run(Array(8).fill(Array(8).fill(0)))": "pixels has 8 values",
    "explorer.run('0'.repeat(64))": "pixels is ",
    "explorer.run(Array(64))": "pixels[0] is undefined",
    "explorer.run(Array(64).fill(NaN))": "pixels[0] is NaN",
    "explorer.run(Array(64).fill(0, 0, 63).fill(256, 63))": "pixels[63] is 256",
    "explorer.run(PIXELS, {run: 1})": "run is 1: expected 0 to 0",
    "explorer.run(PIXELS, {run: 'map'})": 'run is "map": expected 0 to 0',
    "explorer.run(PIXELS, {runs: 0})": "options has no runs: expected run, interventions",
    "explorer.run(PIXELS, null)": "options is null",
    "explorer.run(PIXELS, {interventions: {type: 'cut', step: 1}})": "expected an array",
    "explorer.run(PIXELS, {interventions: [null]})": "intervention null: expected an object",
    "explorer.run(PIXELS, {interventions: [{type: 'hold'}]})": 'type is "hold": expected one of',
    "explorer.run(PIXELS, {interventions: [{type: 'cut', steps: 1}]})": "has no steps: expected",
    "explorer.run(PIXELS, {interventions: [{type: 'cut', step: 8}]})": "step is 8: expected 0 to 7",
}


def test_a_wrong_argument_of_run_is_named(open_page: Open) -> None:
    page = open_page(random_spec("LSTM"))
    messages = page.tab.evaluate(
        """(codes) => {
            const PIXELS = new Uint8Array(64);
            return codes.map((code) => {
                try {
                    eval(code);
                    return 'no error';
                } catch (error) {
                    return `${error.name}: ${error.message}`;
                }
            });
        }""",
        list(WRONG_ARGUMENTS),
    )
    for code, message in zip(WRONG_ARGUMENTS, messages, strict=True):
        assert WRONG_ARGUMENTS[code] in message, f"{code}: {message}"
        assert message.startswith(("RangeError: ", "TypeError: "))
    page.close()
