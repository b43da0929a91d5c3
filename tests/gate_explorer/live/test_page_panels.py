"""The panels of the live page show what window.explorer.run computes."""

from typing import Any

import pytest

from tests.gate_explorer.live.live_page import FORGET_SHUT, STEPS, LivePage

pytestmark = pytest.mark.browser


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
