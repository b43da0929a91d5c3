"""python -m gate_explorer --live: the file, its size, and window.explorer in a real browser."""

import base64
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cell_verifier import verify
from command_line.errors import ConfigError
from command_line.load_object import load_object
from gate_explorer import load_run, observe
from gate_explorer.arguments import Arguments
from gate_explorer.live.page import render_live_page, sample_images
from gate_explorer.live.spec import Spec, spec_of
from gate_explorer.show import show
from sequenced_mnist import ImageSets, load_images, to_sequences
from shared_interface import SequenceClassifier
from tests.gate_explorer.live.engines import CLASSES, digits, random_classifier
from tests.gate_explorer.test_command import write_run
from tests.helpers.paths import ROOT

MEGABYTE = 1_000_000
CELLS = ("rnn", "gru", "lstm")
UGRNN = f"{ROOT / 'examples' / 'custom_cell.py'}:UGRNNCell"
RIGHT_CELLS = ROOT / "tests" / "cell_verifier" / "cells" / "right"


def spec_by_rows(model: SequenceClassifier, size: int = 8) -> Spec:
    """The spec of a model that reads images of size x size pixels by rows."""
    return spec_of(model, name="own", sequence="rows", image_size=(size, size), class_names=CLASSES)


def images_of(size: int) -> ImageSets:
    """Blank images of size x size pixels."""
    images = load_images("digits", Path("data"))
    blank = torch.zeros(len(images.test_images), size, size, dtype=torch.uint8)
    return replace(images, test_images=blank)


def test_a_page_is_small() -> None:
    """One run of 2 x 128 units on MNIST, and three."""
    specs = [
        spec_by_rows(random_classifier(kind, 0, 28, hidden_size=128, num_layers=2), 28)
        for kind in CELLS
    ]
    samples = sample_images(images_of(28))
    texts = {"title": "t", "dataset": "mnist", "sequence": "rows"}
    one, three = (
        render_live_page(each, samples, **texts, class_names=CLASSES) for each in (specs[2:], specs)
    )
    assert len(one.encode()) < 1.5 * MEGABYTE
    assert len(three.encode()) < 3 * MEGABYTE


@pytest.mark.slow
def test_the_command_writes_one_page_of_three_runs(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / cell, cell=cell) for cell in CELLS]
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "gate_explorer", "--live", *runs, "--html", page]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"live page -> {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_every_kind_of_page_has_its_own_name(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", cell="gru")
    for arguments in (
        Arguments(run=first),
        Arguments(run=first, wrong=True),
        Arguments(compare=(first, second)),
        Arguments(compare=(first, second), wrong=True),
        Arguments(run=first, live=()),
        Arguments(live=(first, second)),
    ):
        show(arguments)
    assert sorted(path.name for path in first.glob("*.html")) == [
        "explorer-with-b-wrong.html",
        "explorer-with-b.html",
        "explorer-wrong.html",
        "explorer.html",
        "live-with-b.html",
        "live.html",
    ]
    assert list(second.glob("*.html")) == []


def test_bad_arguments_give_one_line(tmp_path: Path) -> None:
    run, columns = write_run(tmp_path / "run"), write_run(tmp_path / "c", sequence="columns")
    wrong: dict[str, dict[str, Any]] = {
        "--live has 0 runs: expected one to three": {"live": ()},
        "--live has 4 runs: expected one to three": {"run": run, "live": (run,) * 3},
        "--live and --index are both given": {"run": run, "live": (), "index": 0},
        "--live and --png are both given": {"run": run, "live": (), "png": tmp_path / "a.png"},
        "--live: one run reads digits by rows, another digits by columns": {"live": (run, columns)},
        f"no run at {tmp_path / 'none'}": {"live": (run, tmp_path / "none")},
        "--html is": {"run": run, "live": (), "html": run / "config.json"},
    }
    for message, options in wrong.items():
        with pytest.raises(ConfigError) as caught:
            show(Arguments(**options))
        assert str(caught.value).startswith(message)


# --- cells of the user --------------------------------------------------------------------------

OWN_LSTM = """
import torch
from typing import NamedTuple
from scratch_cells import Cell

class MyLSTM(Cell):
    state_names = ("hidden", "memory")

    class Gates(NamedTuple):
        write: torch.Tensor
        keep: torch.Tensor
        new: torch.Tensor
        show: torch.Tensor

    def gates(self, projected, state):
        write, keep, new, show = (projected + self.hidden_to_hidden(state[0])).chunk(4, dim=-1)
        return self.Gates(write.sigmoid(), keep.sigmoid(), new.tanh(), show.sigmoid())

    def update(self, gates, state):
        memory = gates.keep * state[1] + gates.write * gates.new
        return gates.show * torch.tanh(memory), memory
"""


def rows() -> torch.Tensor:
    return to_sequences(digits()[:5], "rows")


def model_of(spec: Spec) -> SequenceClassifier:
    """The classifier on torch.nn's layer that a spec describes."""
    layer = getattr(torch.nn, spec["cell"].upper())(
        spec["input_size"],
        spec["hidden_size"],
        num_layers=spec["num_layers"],
        bidirectional=spec["bidirectional"],
        batch_first=True,
    )
    model = SequenceClassifier(layer, len(spec["class_names"]))
    with torch.no_grad():
        for name, text in spec["weights"].items():
            values = torch.tensor(np.frombuffer(base64.b64decode(text), "<f4"))
            parameter = model.get_parameter(name)
            parameter.copy_(values.view(parameter.shape))
    return model


def test_a_cell_of_the_user_with_our_equations_is_shown(tmp_path: Path) -> None:
    """Its names are its own; two layers, two directions."""
    code = tmp_path / "own.py"
    code.write_text(OWN_LSTM)
    own = f"{code}:MyLSTM"
    run = write_run(tmp_path / "run", implementation=own, num_layers=2, bidirectional=True)
    model = load_run(run, implementation=own).model
    spec = spec_by_rows(model)
    assert (spec["cell"], spec["num_layers"], spec["bidirectional"]) == ("lstm", 2, True)
    torch.testing.assert_close(model_of(spec)(rows()), model(rows()))
    show(Arguments(run=run, live=(), implementation=(own,)))
    assert "own.py:MyLSTM" in (run / "live.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name", "layers"),
    [("lstm_stacked_layers", "MyLSTM", 2), ("gru_torch_names_layer", "MyGRU", 1)],
)
def test_a_layer_of_the_user_with_our_equations_is_shown(file: str, name: str, layers: int) -> None:
    make = load_object(f"{RIGHT_CELLS / file}.py:{name}")
    assert verify(make, against=file[: file.index("_")]).verdict == "equal"  # type: ignore[arg-type]
    torch.manual_seed(0)
    options = {"num_layers": layers} if layers > 1 else {}
    model = SequenceClassifier(make(8, 6, batch_first=True, **options), len(CLASSES))
    spec = spec_by_rows(model)
    assert (spec["cell"], spec["num_layers"]) == (file[: file.index("_")], layers)
    torch.testing.assert_close(model_of(spec)(rows()), model(rows()))


def test_a_cell_of_the_user_with_other_equations_gives_one_sentence(
    tmp_path: Path, capsys: Any
) -> None:
    custom = write_run(tmp_path / "custom", implementation=UGRNN)
    with pytest.raises(ConfigError, match="UGRNNCell is not shown: the verifier finds") as caught:
        show(Arguments(run=custom, live=(), implementation=(UGRNN,)))
    assert "\n" not in str(caught.value)
    run = write_run(tmp_path / "run")
    show(Arguments(live=(run, custom), implementation=(UGRNN,)))
    assert "UGRNNCell is not shown" in capsys.readouterr().out
    assert "UGRNNCell is not shown" in (run / "live-with-custom.html").read_text(encoding="utf-8")


# --- window.explorer ----------------------------------------------------------------------------

RUN = "([pixels, options]) => window.explorer.run(pixels, options)"


@pytest.mark.browser
def test_explorer_run_equals_the_model_of_the_run(tab: Any, tmp_path: Path) -> None:
    """As documented: pixels as the data set stores them, any run of the page, from disk."""
    runs = [
        write_run(tmp_path / "lstm", num_layers=2),
        write_run(tmp_path / "gru", cell="gru", bidirectional=True, implementation="builtin"),
    ]
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    show(Arguments(live=tuple(runs), html=tmp_path / "page.html"))
    tab.goto((tmp_path / "page.html").as_uri())
    for number, folder in enumerate(runs):
        loaded = load_run(folder)
        for image in loaded.images.test_images[:20]:
            options = {"run": number, "interventions": []}
            seen = tab.evaluate(RUN, [image.flatten().tolist(), options])
            expected = observe(loaded.model, image)
            with torch.no_grad():
                logits = loaded.model(to_sequences(image[None], "rows"))[0]
            close(seen["logits"], logits)
            assert seen["prediction"] == str(int(logits.argmax()))
            close(seen["probabilities"], expected.probabilities)
            close(norms(seen["inputGradient"]), expected.input_gradient, 1e-4)
            for cell in expected.cells:
                for name, gate in cell.gates.items():
                    close(seen["gates"][cell.layer][cell.reverse][name], gate)
                for name, state in cell.states.items():
                    close(seen["states"][cell.layer][cell.reverse][name], state)
                    gradient = norms(seen["gradients"][cell.layer][cell.reverse][name])
                    close(gradient, cell.gradients[name], 1e-4)
    assert {url.split(":")[0] for url in requests} <= {"file", "data", "blob"}


def close(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def norms(gradient: Any) -> torch.Tensor:
    return torch.tensor(gradient).double().norm(dim=1)


@pytest.mark.browser
def test_explorer_run_raises_for_wrong_arguments(tab: Any, tmp_path: Path) -> None:
    runs = (write_run(tmp_path / "run"), write_run(tmp_path / "custom", implementation=UGRNN))
    page = tmp_path / "page.html"
    show(Arguments(live=runs, html=page, implementation=(UGRNN,)))
    tab.goto(page.as_uri())
    zeros = [0] * 64
    hold = {"type": "gate", "gate": "reset", "value": 0}
    wrong: dict[str, list[Any]] = {
        "run is 2: expected 0 to 1": [zeros, {"run": 2}],
        "run 1: .* is not shown": [zeros, {"run": 1}],
        "pixels has 3 values: expected a flat array of 8 x 8": [[0, 0, 0], {}],
        'gate is "reset": expected one of input, forget': [zeros, {"interventions": [hold]}],
    }
    for message, arguments in wrong.items():
        with pytest.raises(Exception, match=message):
            tab.evaluate(RUN, arguments)
