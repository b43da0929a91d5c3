"""The panels of the live page show what window.explorer.run computes."""

from typing import Any

import numpy as np
import pytest

from tests.gate_explorer.live.live_page import FORGET_SHUT, STEPS, LivePage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


# The unit of each column: sorted by the step at which |h| peaks without interventions.
ORDER = """const orderOf = (run) => {
    const h = explorer.run(Drawing.pixels(), {run}).states[0][0].hidden;
    const peak = h[0].map((_, unit) => {
        const sizes = h.map((row) => Math.abs(row[unit]));
        return sizes.indexOf(Math.max(...sizes));
    });
    return [...peak.keys()].sort((a, b) => peak[a] - peak[b] || a - b);
};"""
# Whether a panel shows the values of explorer.run, or the difference to those of the untouched run.
SHOWS = """([run, kind, name, scale, low, interventions, difference]) => {
    const at = (list) =>
        explorer.run(Drawing.pixels(), {run, interventions: list})[kind][0][0][name].flat();
    const before = at([]), order = orderOf(run);
    const values = at(interventions).map((v, k) => Math.fround(difference ? v - before[k] : v));
    const expected = document.createElement('canvas');
    Colours.paint(expected, values, 28, order.length, {scale, low, high: 1, order});
    const panel = document.querySelectorAll('.network')[run].querySelector(`[data-name=${name}]`);
    return panel.querySelector('canvas').toDataURL() === expected.toDataURL();
}"""


def shows(live: LivePage, *arguments: Any) -> bool:
    return bool(live.tab.evaluate(SHOWS.replace("{", "{" + ORDER, 1), list(arguments)))


def test_panels_show_the_gates_and_states(live: LivePage) -> None:
    for run, kind, name, scale, low in (
        (0, "states", "hidden", "signed", -1),
        (1, "gates", "update", "gate", 0),
        (1, "gates", "candidate", "signed", -1),
        (2, "gates", "forget", "gate", 0),
        (2, "gates", "output", "gate", 0),
        (2, "states", "hidden", "signed", -1),
    ):
        assert shows(live, run, kind, name, scale, low, [], False), (run, name)
    assert not shows(live, 2, "gates", "input", "gate", 0, [{"type": "cut", "step": 9}], False)


def test_panels_show_an_intervention_and_the_difference(live: LivePage) -> None:
    assert live.tab.locator("#difference").is_disabled()  # nothing to compare with
    live.press("Hold the forget gate shut")
    assert "untouched: 7" in live.tab.inner_text(".network:nth-child(3) .was")
    live.press("test image 18: 3")  # the units are sorted again, by the untouched run
    live.settle()
    held = [FORGET_SHUT]
    for kind, name, scale, low in (
        ("gates", "forget", "gate", 0),
        ("gates", "output", "gate", 0),
        ("states", "hidden", "signed", -1),
    ):
        assert shows(live, 2, kind, name, scale, low, held, False), name
    live.tab.check("#difference")
    for kind, name in (("gates", "forget"), ("gates", "output"), ("states", "hidden")):
        assert shows(live, 2, kind, name, "signed", -1, held, True), name
    assert shows(live, 1, "gates", "update", "gate", 0, [], False)  # this network is untouched
    live.press("Reset all")
    assert not live.tab.is_checked("#difference")
    assert shows(live, 2, "gates", "forget", "gate", 0, [], False)


def test_bars_and_text_compare_with_the_untouched_run(live: LivePage) -> None:
    live.press("Hold the forget gate shut")
    heights = live.tab.eval_on_selector_all(
        ".network:nth-child(3) .bars > div",
        """bars => bars.map(bar => {
            const box = bar.querySelector('.column').getBoundingClientRect();
            const now = bar.querySelector('i').getBoundingClientRect();
            const was = bar.querySelector('b').getBoundingClientRect();
            const middle = (was.top + was.bottom) / 2;
            return [now.height / box.height, (box.bottom - middle) / box.height];
        })""",
    )
    shares = live.tab.evaluate(
        """forgetShut => [[forgetShut], []].map((interventions) =>
            explorer.run(Drawing.pixels(), {run: 2, interventions}).probabilities[27])""",
        FORGET_SHUT,
    )
    np.testing.assert_allclose(np.array(heights).T, shares, atol=0.04)


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
    order = live.tab.evaluate(f"() => {{ {ORDER} return orderOf(2); }}")
    heading = live.tab.inner_text("#explain h2")
    assert heading.startswith("LSTM, forget gate f, unit ")
    assert heading.endswith(", row 13")
    unit = int(heading.split("unit ")[1].split(",")[0])
    assert unit in order[len(order) // 2 - 1 : len(order) // 2 + 1]
    value = live.tab.evaluate(
        f"explorer.run(Drawing.pixels(), {{run: 2}}).gates[0][0].forget[12][{unit}]"
    )
    assert live.tab.inner_text("#explain .equation") == "f = σ(W_if x + b_if + W_hf h + b_hf)"
    assert live.tab.inner_text("#explain .values").startswith(f"{value:.3f} = σ(")
    live.tab.mouse.move(5, 5)
    assert live.tab.inner_text("#explain h2") == "Explain a value"


def test_a_clicked_value_stays_until_escape(live: LivePage) -> None:
    forget, output = live.plot(2, "forget"), live.plot(2, "output")
    forget.click(position={"x": 30, "y": 60})
    clicked = live.tab.inner_text("#explain")
    assert "Hold this unit at 0" in clicked
    output.hover(position={"x": 30, "y": 30})
    assert live.tab.inner_text("#explain h2").startswith("LSTM, output gate o")
    assert live.tab.locator("#explain button").count() == 0
    live.tab.mouse.move(5, 5)
    assert live.tab.inner_text("#explain") == clicked
    live.tab.keyboard.press("Escape")
    assert live.tab.inner_text("#explain h2") == "Explain a value"
