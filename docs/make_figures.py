"""Draw the figures of the study guide and the README: python docs/make_figures.py

Trains four small models on MNIST into build/figures (a few minutes on a CPU), or loads them from
there if they exist, and draws

    explorer.png        a screenshot of the explorer's page (needs chromium)
    rnn.png gru.png lstm.png   the explorer's panels for a 7, one cell each
    compared.png        the panels of all three cells for the same 7
    training.png        the training loss of the hand-written LSTM and of torch.nn's
    gradients.png       how fast the gradient vanishes over 784 steps, before training
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from matplotlib.figure import Figure

import builtin_models
from command_line.program import clean_exit, parse_arguments
from gate_explorer import observe
from gate_explorer.arguments import Arguments as ExplorerArguments
from gate_explorer.inputs.load_run import load_run
from gate_explorer.inputs.select_image import select_image
from gate_explorer.render.html import write_page
from gate_explorer.render.png import write_png
from gate_explorer.show import observe_run
from shared_interface import SequenceClassifier
from train import train
from training_loop.config import Config

FIGURES = Path(__file__).parent / "figures"
RUNS = Path("build/figures")
LABEL = 7  # the class of the image that the figures show
HIDDEN_SIZE = 64


@dataclass(frozen=True)
class Arguments:
    """Train four small models on MNIST and draw every figure from them."""

    data_dir: Path = Path("data")
    """folder that contains MNIST/raw, or to which MNIST is downloaded"""


def main(data_dir: Path) -> None:
    """Train the models that do not exist yet, and draw all figures."""
    FIGURES.mkdir(exist_ok=True)
    cells = ("rnn", "gru", "lstm")
    folders = {cell: train_or_reuse(cell, "builtin", data_dir) for cell in cells}
    scratch = train_or_reuse("lstm", "scratch", data_dir)
    draw_training({"torch.nn": folders["lstm"], "hand-written": scratch})
    runs = {cell: load_run(folder, data_dir) for cell, folder in folders.items()}
    selected = select_image(runs["lstm"], ExplorerArguments(label=LABEL))
    title = selected.title
    observations = [observe_run(run, selected) for run in runs.values()]
    for cell, observation in zip(cells, observations, strict=True):
        write_png(FIGURES / f"{cell}.png", [observation], title)
    write_png(FIGURES / "compared.png", observations, title)
    draw_gradients(selected.image)
    with TemporaryDirectory() as folder:
        page = Path(folder) / "explorer.html"
        write_page(page, observations[-1:], title)
        screenshot(page, FIGURES / "explorer.png")


def train_or_reuse(cell: str, implementation: str, data_dir: Path) -> Path:
    """The run folder of a small model; the model is trained if the folder does not exist."""
    folder = RUNS / f"{implementation}-{cell}"
    if not (folder / "model.safetensors").is_file():
        options = {"hidden_size": HIDDEN_SIZE, "num_layers": 1, "epochs": 2, "device": "cpu"}
        train(
            Config(
                cell=cell,
                implementation=implementation,
                dataset="mnist",
                data_dir=data_dir,
                run_dir=folder,
                **options,
            )
        )
    return folder


def draw_training(folders: dict[str, Path]) -> None:
    """Draw the training loss of every step of both runs, one line on top of the other."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    styles: tuple[dict[str, Any], ...] = (
        {"linewidth": 3, "color": "#9ecae1"},
        {"linewidth": 0.8, "color": "#c2571a"},
    )
    for (name, folder), style in zip(folders.items(), styles, strict=True):
        losses = json.loads((folder / "metrics.json").read_text())["step_losses"]
        axes.plot(range(1, len(losses) + 1), losses, label=name, **style)
    axes.set(xlabel="step", ylabel="training loss (nats)", yscale="log")
    axes.set_title("An LSTM on MNIST, row by row: the same seed, the same curve", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FIGURES / "training.png", dpi=110)


def draw_gradients(image: torch.Tensor) -> None:
    """Draw the gradient norms of untrained models that read the image pixel by pixel."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for kind, part, forget_bias in (
        ("RNN", "hidden", 0.0),
        ("GRU", "hidden", 0.0),
        ("LSTM", "cell", 0.0),
        ("LSTM", "cell", 4.0),
    ):
        torch.manual_seed(0)
        layer = getattr(builtin_models, kind)(1, HIDDEN_SIZE, batch_first=True)
        model = SequenceClassifier(layer, 10).double()
        with torch.no_grad():
            if kind == "LSTM":
                layer.bias_hh_l0[HIDDEN_SIZE : 2 * HIDDEN_SIZE] += forget_bias
        norms = observe(model, image, sequence="pixels").cells[0].gradients[part]
        suffix = f", forget bias + {forget_bias:g}" if forget_bias else ""
        axes.plot(norms, label=f"{kind}, {part} state{suffix}")
    axes.set(xlabel="step (pixel)", ylabel="norm of the gradient", yscale="log")
    axes.set_title(
        "Gradient of the predicted class's score with respect to the state, before training",
        fontsize=11,
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(FIGURES / "gradients.png", dpi=110)


def screenshot(page: Path, target: Path) -> None:
    """Save a screenshot of the page with the slider at step 14, if chromium is installed."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print(f"chromium is not installed: {target} is unchanged")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.goto(page.as_uri())
        tab.wait_for_selector('[data-key="gate-output"] .area', state="attached")
        tab.fill("#slider", "14")
        tab.evaluate("document.activeElement.blur()")
        tab.screenshot(path=target, full_page=True)
        browser.close()


if __name__ == "__main__":
    with clean_exit("make_figures"):
        main(parse_arguments(Arguments, "make_figures.py").data_dir)
