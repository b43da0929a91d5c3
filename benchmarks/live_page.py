"""How long the live page takes to answer a stroke of the pen.

    python -m benchmarks.live_page

It measures the engine alone, in Node and in Chromium, on random images of MNIST's size; and the
page, from the drawing to all panels of all networks, while the mouse draws in it. A frame of a
screen is 16.7 ms. The models have random weights, which take as long as trained ones.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from command_line.errors import ConfigError
from command_line.program import clean_exit, parse_arguments
from gate_explorer.live.page import Sample, render_live_page
from gate_explorer.live.spec import Spec, spec_of
from shared_interface import SequenceClassifier

SIZE = 28  # height and width of an image, in pixels
CLASSES = tuple("0123456789")
MEASURE = Path(__file__).with_suffix(".js")
ENGINE = Path(__file__).parent.parent / "gate_explorer" / "live" / "engine.js"
STROKE = [(120 + y // 4, y) for y in range(40, 240, 4)]
"""Positions of the pen in the drawing area, in pixels."""


@dataclass(frozen=True)
class Options:
    """Measure how long the live page takes to answer a stroke of the pen."""

    hidden_size: int = 128
    """units of each layer"""
    num_layers: int = 2
    """layers of each network"""
    repeats: int = 60
    """number of times that each computation is run; the median is printed"""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected at least 1")


def main(options: Options) -> None:
    """Print the times of the engine in Node and in Chromium, and of the page."""
    specs = {kind: random_spec(kind, options) for kind in ("rnn", "gru", "lstm")}
    print(f"{options.num_layers} x {options.hidden_size} units, {SIZE} steps; milliseconds, median")
    with TemporaryDirectory() as folder:
        if node := shutil.which("node"):
            show("Node", specs, times_in_node(node, list(specs.values()), options.repeats, folder))
        else:
            print("Node: not installed")
        measure_in_browser(specs, options.repeats, Path(folder))


def random_spec(kind: str, options: Options) -> Spec:
    """A model with random weights that reads images by rows."""
    torch.manual_seed(0)
    layer = getattr(nn, kind.upper())(
        SIZE, options.hidden_size, num_layers=options.num_layers, batch_first=True
    )
    model = SequenceClassifier(layer, len(CLASSES))
    size = (SIZE, SIZE)
    return spec_of(model, name=kind, sequence="rows", image_size=size, class_names=CLASSES)


def times_in_node(
    node: str, specs: Sequence[Spec], repeats: int, folder: str
) -> list[dict[str, float]]:
    """The times of each model by Node."""
    file = Path(folder) / "specs.json"
    file.write_text(json.dumps(specs))
    command = [node, str(MEASURE), str(ENGINE), str(file), str(repeats)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    times: list[dict[str, float]] = json.loads(done.stdout)
    return times


def measure_in_browser(specs: dict[str, Spec], repeats: int, folder: Path) -> None:
    """Measure the engine, and the page of the LSTM and of all three networks, in Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print('Chromium: install playwright (pip install -e ".[dev]")')
        return
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        print("Chromium: not installed")
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        open_page(tab, [specs["lstm"]], folder)
        tab.add_script_tag(path=MEASURE)
        times = [
            tab.evaluate("([spec, repeats]) => measure(Engine, spec, repeats)", [spec, repeats])
            for spec in specs.values()
        ]
        show("Chromium", specs, times)
        for name, shown in (("LSTM", [specs["lstm"]]), ("RNN, GRU and LSTM", [*specs.values()])):
            open_page(tab, shown, folder)
            answers = draw(tab)
            print(
                f"page of {name}: {median(answers):.1f} from the stroke to all panels "
                f"(slowest {max(answers):.1f}, {len(answers)} positions of the pen)"
            )
        browser.close()


def open_page(tab: Any, specs: Sequence[Spec], folder: Path) -> None:
    """Write the page of these models and open it."""
    page = folder / "page.html"
    blank = Sample(0, 0, torch.zeros(SIZE, SIZE, dtype=torch.uint8))
    text = render_live_page(
        specs, [blank], title="page", dataset="mnist", sequence="rows", class_names=CLASSES
    )
    page.write_text(text, encoding="utf-8")
    tab.goto(page.as_uri())


def draw(tab: Any) -> list[float]:
    """Draw a line with the mouse; the milliseconds that the page needed for each position."""
    box = tab.locator("#pad").bounding_box()
    (x, y), *others = [(box["x"] + x, box["y"] + y) for x, y in STROKE]
    tab.mouse.move(x, y)
    tab.mouse.down()
    answers = []
    for x, y in others:
        tab.mouse.move(x, y)
        answers.append(
            tab.evaluate(
                "() => new Promise(done => requestAnimationFrame(() => setTimeout(() => "
                "done(performance.getEntriesByName('answer').at(-1).duration))))"
            )
        )
    tab.mouse.up()
    return answers


def show(place: str, specs: dict[str, Spec], times: Sequence[dict[str, float]]) -> None:
    """Print the times of each model, one line each."""
    for kind, found in zip(specs, times, strict=True):
        texts = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in found.items())
        print(f"{place}, {kind}: {texts}", flush=True)


if __name__ == "__main__":
    with clean_exit("live_page"):
        main(parse_arguments(Options, "python -m benchmarks.live_page"))
