"""Interventions, links and predictions on the live page, in a real browser."""

from typing import Any

import numpy as np
import pytest

from tests.gate_explorer.live.live_page import FORGET_SHUT, FOUR, STEPS, LivePage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


EXPERIMENTS: dict[str, dict[str, Any]] = {
    "Hold the forget gate shut": FORGET_SHUT,
    "Hold the forget gate open": FORGET_SHUT | {"value": 1},
    "Hold update gate open": {"type": "gate", "gate": "update", "value": 1},
    "Cut the memory here": {"type": "cut", "step": 20},
    "Remove recurrent weights": {"type": "no_recurrence"},
}


def test_each_experiment_changes_the_answer(live: LivePage) -> None:
    before = live.answers()
    for button, intervention in EXPERIMENTS.items():
        live.tab.fill("#step", "20")
        live.press(button)
        live.tab.fill("#step", str(STEPS - 1))
        assert live.answers() != before, button
        live.assert_answers([intervention])
        assert live.tab.inner_text("#look").startswith("Look at ")
        live.press(button)  # a second click releases it
        assert live.answers() == before


def test_any_gate_state_and_unit_by_the_form(live: LivePage) -> None:
    live.tab.fill("#step", "12")
    live.add("hold at 1", "output gate", "", "all networks")
    live.add("set to 0", "hidden state", "5", "GRU")
    live.add("freeze from here", "cell state", "", "LSTM")
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


def test_a_link_restores_drawing_interventions_and_row(live: LivePage) -> None:
    live.press("Clear")
    live.draw(FOUR)
    live.press("Hold the forget gate shut")
    live.add("set to 0", "hidden state", "3", "RNN")
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


MALFORMED = (
    "nonsense",
    "d=AAAA&t=99999&i=[",
    "d=%%%&t=-4&i=null",
    'i=[null,3,{"type":"gate","gate":"nose","value":0},{"type":"mistake","id":"__proto__"}]',
    'i=[{"type":"gate","gate":"forget","value":0,"unit":4800},{"type":"cut","step":1e9}]',
    'i=[{"type":"zero","state":"hidden","run":7},{"type":"gate","gate":"forget","value":"0"}]',
)


def test_a_malformed_link_is_ignored(live: LivePage) -> None:
    drawn = live.pixels()
    assert drawn.any()
    for fragment in MALFORMED:
        live.follow(fragment)
        assert live.tab.locator("#active button").count() == 0, fragment
        np.testing.assert_array_equal(live.pixels(), drawn)
    live.assert_answers([])


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
