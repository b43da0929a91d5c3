"""The live page in a tab of Chromium, for the tests."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DESKTOP, PHONE = (1400, 900), (390, 844)
STEPS, CLASSES = 28, 10
FORGET_SHUT = {"type": "gate", "gate": "forget", "value": 0}
# Strokes in a square of 280 x 280.
SEVEN = [[(70, 60), (200, 60), (120, 230)]]
FOUR = [[(110, 50), (80, 150), (200, 150)], [(170, 80), (165, 240)]]

FOLLOW = """fragment => new Promise((done) => {
    addEventListener("hashchange", () => done(), {once: true});
    location.hash = fragment;
})"""


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
        self.first_fragment = self.tab.evaluate("location.hash")
        self.resets = 0

    def open(self, fragment: str = "") -> None:
        """Load the page with a fragment; ``#`` begins with an empty square."""
        self.tab.goto("about:blank")
        self.tab.goto(self.path.as_uri() + fragment)
        self.settle()

    def follow(self, fragment: str) -> None:
        """Change the fragment of the address, and wait until the page has read it."""
        self.tab.evaluate(FOLLOW, fragment)
        self.settle()

    def reset(self) -> None:
        """Return to the state in which the page opened, with the guide closed."""
        self.tab.evaluate(
            """() => {
                document.activeElement.blur();
                document.getElementById('guide').hidden = true;
                document.querySelector('details').open = false;
                const predict = document.getElementById('predict');
                if (predict.checked) predict.click();
                scrollTo(0, 0);
            }"""
        )
        self.tab.mouse.move(1, 1)
        self.tab.keyboard.press("Escape")
        self.resets += 1  # an equal fragment would not be an event
        self.follow(f"{self.first_fragment}&resets={self.resets}")

    def settle(self) -> None:
        """Wait until the page has drawn everything, the gradients included."""
        self.tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")
        self.tab.wait_for_selector("#networks[aria-busy=false]", state="attached")

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
                self.tab.mouse.move(*point, steps=3)
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

    def add(self, action: str, target: str, unit: str, network: str) -> None:
        """Fill in the form for any intervention."""
        if not self.tab.locator("#add").is_visible():
            self.tab.click("summary")
        self.tab.select_option("#network", label=network)
        self.tab.select_option("#action", label=action)
        self.tab.select_option("#target", label=target)
        self.tab.fill("#unit", unit)
        self.tab.click("#add button")
