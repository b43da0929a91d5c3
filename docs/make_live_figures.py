"""Take the screenshots of the live page: python docs/make_live_figures.py (needs chromium)

live_page.png          on a desktop: the forget gate is held shut, one value is explained
live_page_dark.png     the same window in dark colours, while the upper rows are read
live_page_phone.png    on a phone
"""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from live_page import render  # in this folder
from PIL import Image

FIGURES = Path(__file__).parent / "figures"
DESKTOP = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}
COLOURS = 256  # in a file, which is then a third of the size of full colour
# The strokes of a 3, in a square of 280 x 280
THREE = [(90, 75), (140, 50), (185, 85), (130, 130), (192, 175), (145, 232), (85, 210)]


def main() -> None:
    """Take all screenshots."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("chromium is not installed: it is needed to take screenshots")
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(folder) / "live.html"
        page.write_text(render(), encoding="utf-8")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def take(name: str, use: Callable[[Any], None], **options: Any) -> None:
            tab = browser.new_page(**options)
            tab.goto(page.as_uri())
            tab.click("#guide-close")
            use(tab)
            tab.wait_for_timeout(1000)  # milliseconds, until the gradients are drawn
            image = Image.open(io.BytesIO(tab.screenshot()))
            image.convert("RGB").quantize(COLOURS).save(FIGURES / name, optimize=True)
            tab.close()

        take("live_page.png", hold_forget_gate, viewport=DESKTOP)
        take("live_page_dark.png", read_drawing, viewport=DESKTOP, color_scheme="dark")
        take("live_page_phone.png", draw, viewport=PHONE, device_scale_factor=1.5)
        browser.close()


def hold_forget_gate(tab: Any) -> None:
    """Hold the forget gate shut, and explain one value of c."""
    tab.click("text=Hold the forget gate shut")
    panel = tab.locator(".network >> nth=2 >> [data-name=cell] .plot")
    panel.click(position={"x": 40, "y": panel.bounding_box()["height"] - 2})


def draw(tab: Any) -> None:
    """Draw a 3."""
    tab.click("#clear")
    box = tab.locator("#pad").bounding_box()
    scale = box["width"] / 280
    first, *others = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in THREE]
    tab.mouse.move(*first)
    tab.mouse.down()
    for point in others:
        tab.mouse.move(*point, steps=10)
    tab.mouse.up()


def read_drawing(tab: Any) -> None:
    """Draw a 3, read its upper rows, and point at a value."""
    draw(tab)
    tab.fill("#step", "17")
    tab.locator(".network >> nth=1 >> [data-name=update] .plot").hover(position={"x": 60, "y": 78})


if __name__ == "__main__":
    main()
