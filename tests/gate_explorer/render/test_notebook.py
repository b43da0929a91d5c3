"""The notebook figure: its slider, its menu, runs by their folder, and what a notebook saves."""

from pathlib import Path

import pytest
import torch

import builtin_models
from command_line.errors import ConfigError
from gate_explorer import ExplorerError, explore
from gate_explorer.inputs.load_run import load_run
from tests.gate_explorer.small_models import IMAGE, classifier
from tests.helpers.runs import small
from train import train


def test_explore_returns_a_figure_with_slider_and_menu() -> None:
    model = classifier(builtin_models, "LSTM", num_layers=2)
    figure = explore(model, IMAGE)
    steps = figure.layout.sliders[0].steps
    assert [step.label for step in steps] == list("123456")
    for index, step in enumerate(steps):
        bands = step.args[0]["shapes"]
        # input, prediction, gradient, saturation, difference, h, c, 4 gates
        assert len(bands) == 11
        assert {(band["y0"] + band["y1"]) / 2 for band in bands} == {index}
    menu = figure.layout.updatemenus[0].buttons
    assert [button.label for button in menu] == [
        "layer 0 (reads the input)",
        "layer 1 (feeds the readout)",
    ]
    assert figure.layout.updatemenus[0].active == 1
    first, last = (button.args[0]["visible"] for button in menu)
    assert [trace.visible for trace in figure.data] == list(last)
    assert sum(first) == sum(last)
    assert not any(one and other for one, other in zip(first, last, strict=True))
    assert figure.layout.sliders[0].currentvalue.suffix == " of 6"


def test_a_notebook_saves_the_figure_as_html_for_an_export() -> None:
    figure = explore(classifier(builtin_models, "GRU"), IMAGE)
    bundle = figure._repr_mimebundle_()
    assert bundle["application/vnd.plotly.v1+json"]["layout"]["title"]["text"].startswith("GRU")
    assert "Plotly.newPlot" in bundle["text/html"]
    assert len(bundle["text/html"]) > 1_000_000  # plotly.js: the export needs no network
    assert not callable(figure._ipython_display_)


def test_a_run_is_loaded_by_its_folder(tmp_path: Path) -> None:
    train(small(tmp_path))
    folder = tmp_path / "run"
    run = load_run(folder)
    index = int((run.images.test_labels == 7).nonzero()[0])
    assert explore(str(folder), label=7).data == explore(folder, index).data
    assert explore(folder).data == explore(run.model, run.images.test_images[0]).data
    with pytest.raises(ExplorerError, match="give the index of a test image"):
        explore(folder, torch.zeros(8, 8))
    with pytest.raises(ExplorerError, match="image is None: expected a tensor"):
        explore(run.model)
    with pytest.raises(ConfigError, match="no_such_run"):
        explore(tmp_path / "no_such_run")
