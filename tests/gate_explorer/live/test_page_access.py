"""The live page by keyboard, by touch, on every screen and in both colour schemes."""

from pathlib import Path
from typing import Any

import pytest

from tests.gate_explorer.live.live_page import CLASSES, DESKTOP, FORGET_SHUT, PHONE, LivePage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


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
    first = live.tab.inner_text("#explain h2")
    keys.press("ArrowRight")
    assert live.tab.inner_text("#explain h2") != first
    assert first.endswith(", row 27")
    keys.press("Enter")
    assert live.tab.inner_text("#step-name") == "row 27 of 28"
    live.tab.focus("#explain button >> nth=0")
    keys.press("Enter")
    assert live.tab.locator("#active button").count() == 1
    assert live.tab.evaluate("document.activeElement.textContent").startswith("Hold this unit")
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
    page.add("set to 0", "hidden state", "3", "GRU")
    page.plot(2, "output").click(position={"x": 20, "y": 20})
    page.tab.check("#predict")
    page.press("Cut the memory here")
    page.settle()


def test_nothing_overlaps(live: LivePage) -> None:
    use_everything(live)
    for width, height in (PHONE, (768, 1024), (1024, 768), (1280, 720), DESKTOP):
        live.tab.set_viewport_size({"width": width, "height": height})
        assert live.tab.evaluate(OVERLAPS) == [], width
        assert live.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    live.tab.uncheck("#predict")


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


def test_text_has_contrast(live: LivePage) -> None:
    use_everything(live)
    live.press("Guide")
    backgrounds = set()
    for scheme in ("dark", "light"):
        live.tab.emulate_media(color_scheme=scheme)
        assert live.tab.evaluate(CONTRASTS) == [], scheme
        backgrounds.add(live.tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2
    live.tab.uncheck("#predict")
