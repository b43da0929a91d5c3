"""python -m gate_explorer: the files that it writes, and its one-line errors."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from safetensors.torch import load_file, save_file

from command_line.errors import ConfigError
from gate_explorer import observe
from gate_explorer.arguments import Arguments
from gate_explorer.inputs.load_run import load_run
from gate_explorer.inputs.select_image import select_image, select_index
from gate_explorer.show import observe_run, show
from shared_interface import SequenceClassifier
from tests.helpers.paths import ROOT
from training_loop.config import Config
from training_loop.model import build_model
from training_loop.runs import checkpoint, final_weights


def write_run(folder: Path, **options: Any) -> Path:
    """A run folder as train.py writes it, of an untrained model."""
    resolved = {"dataset": "digits", "hidden_size": 6, **options}
    torch.manual_seed(0)
    features = 1 if resolved.get("sequence") == "pixels" else 8
    model = build_model(Config(**resolved), features, 10)
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(Config(**resolved).to_json())
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def error_of_command(*arguments: object) -> str:
    """The one line on stderr of a command that exits with status 2."""
    ended = subprocess.run(
        [sys.executable, "-m", "gate_explorer", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    return line.removeprefix("gate_explorer: error: ")


def test_a_run_becomes_a_page_a_picture_and_arrays(run: Path, tmp_path: Path, capsys: Any) -> None:
    png, npz = tmp_path / "explorer.png", tmp_path / "explorer.npz"
    show(Arguments(run=run, label=4, png=png, npz=npz))
    page = (run / "explorer.html").read_text(encoding="utf-8")
    assert "Correct class: 4." in page
    assert imread(png).std() > 0.1
    with np.load(npz) as arrays:
        assert arrays["label"] == 4
        loaded = load_run(run)
        expected = observe_run(loaded, select_image(loaded, Arguments(label=4)))
        np.testing.assert_array_equal(arrays["probabilities"], expected.probabilities)
        assert arrays["layer1.gates.forget"].shape == (8, 6)
    assert "explorer.html" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "explorer.npz",
        "explorer.png",
        "run",
    ]


def test_compared_runs_show_the_same_image(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", cell="gru", implementation="builtin", bidirectional=True)
    html, npz, png = (tmp_path / f"compared.{kind}" for kind in ("html", "npz", "png"))
    show(Arguments(compare=(run, other), index=3, html=html, npz=npz, png=png))
    page = html.read_text(encoding="utf-8")
    assert page.index("<h2>scratch lstm</h2>") < page.index("<h2>builtin gru</h2>")
    with np.load(npz) as arrays:
        np.testing.assert_array_equal(arrays["0.image"], arrays["1.image"])
        assert "1.layer0.reverse.gates.reset" in arrays
    assert imread(png).shape[0] > imread(png).shape[1] * 0.7  # stacked vertically


def test_wrong_selects_the_first_misclassified_image(run: Path) -> None:
    loaded = load_run(run)
    index = select_index(loaded, None, None, wrong=True)
    for number in range(index + 1):
        seen = observe_run(loaded, select_image(loaded, Arguments(index=number)))
        assert (seen.prediction != seen.label) == (number == index)


def test_the_layer_is_inferred_from_its_weights(run: Path, tmp_path: Path) -> None:
    for number, (kind, options) in enumerate(
        [
            ("RNN", {"bias": False}),
            ("GRU", {"num_layers": 2, "bidirectional": True}),
            ("LSTM", {"proj_size": 3}),
        ]
    ):
        layer = getattr(torch.nn, kind)(8, 5, batch_first=True, **options)
        model = SequenceClassifier(layer, 10)
        file = tmp_path / f"{number}.pt"
        torch.save(model.state_dict(), file)
        loaded = load_run(file)
        assert loaded.images.name == "digits"
        image = loaded.images.test_images[0]
        expected = observe(model, image).probabilities
        np.testing.assert_array_equal(observe(loaded.model, image).probabilities, expected)
    show(Arguments(run=tmp_path / "0.pt", html=tmp_path / "weights.html"))
    assert "RNN (0.pt)" in (tmp_path / "weights.html").read_text(encoding="utf-8")


def test_an_interrupted_run_shows_the_model_of_its_checkpoint(run: Path, tmp_path: Path) -> None:
    """A folder with a checkpoint and no final weights, as --evaluate accepts it."""
    weights = load_file(run / "model.safetensors")
    (run / "model.safetensors").unlink()
    config = json.loads((run / "config.json").read_text())
    tensors = {f"model/{name}": weight for name, weight in weights.items()}
    tensors |= {"optimizer/readout.bias/step": torch.tensor(3.0), "step_losses": torch.zeros(17)}
    checkpoint.write(checkpoint.Checkpoint(tensors, {"config": config}), run)
    loaded = load_run(run)
    assert (loaded.name, loaded.accuracy) == ("scratch lstm, step 17", None)
    for name, weight in loaded.model.state_dict().items():
        assert torch.equal(weight, weights[name])
    show(Arguments(run=run))
    assert "scratch lstm, step 17" in (run / "explorer.html").read_text(encoding="utf-8")
    for option in ("--html", "--png"):
        name = option.removeprefix("--")
        with pytest.raises(
            ConfigError, match=f"{option} is .*: it would replace a file of the run"
        ):
            Arguments(run=run, **{name: run / "checkpoint.safetensors"})
    other = write_run(tmp_path / "other", cell="gru")
    show(Arguments(compare=(run, other), html=tmp_path / "compared.html"))
    (run / "checkpoint.safetensors").write_bytes(b"damaged")
    assert "is damaged or not a safetensors file" in error_of(Arguments(run=run))


@pytest.mark.parametrize("damage", ["{", None, '{"hidden_size": 7, "dataset": "digits"}'])
def test_a_run_with_a_damaged_configuration_is_shown_with_the_protected_copy(
    damage: str | None, run: Path, capsys: Any
) -> None:
    """As --evaluate does, also if config.json is missing or another one."""
    config = Config.load(run)
    content = final_weights.content_of(load_file(run / "model.safetensors"), config)
    (run / "model.safetensors").write_bytes(content)
    (run / "config.json").unlink()
    if damage is not None:
        (run / "config.json").write_text(damage)
    assert load_run(run).model.layer.hidden_size == 6
    show(Arguments(run=run))
    assert "using the copy" in capsys.readouterr().out


def test_the_accuracy_of_a_run_is_that_of_its_metrics(run: Path) -> None:
    assert load_run(run).accuracy is None
    (run / "metrics.json").write_text(json.dumps({"test_accuracy": 0.5}))
    assert load_run(run).accuracy == 0.5
    for text in ("{", "[]", "{}", '{"test_accuracy": "high"}'):
        (run / "metrics.json").write_text(text)
        assert load_run(run).accuracy is None


def error_of(arguments: Arguments) -> str:
    with pytest.raises(ConfigError) as caught:
        show(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_bad_arguments_give_one_line(run: Path, tmp_path: Path) -> None:
    assert "digits has test images 0 to 363" in error_of_command(run, "--index", 364)
    bogus = error_of_command(run, "--imdex", 3)
    assert bogus == "unrecognized option --imdex: did you mean --index?"
    assert f"no run at {tmp_path / 'none'}" in error_of(Arguments(run=tmp_path / "none"))
    assert "test images 0 to 363" in error_of(Arguments(run=run, index=-1))
    assert "--label is 10: digits has labels 0 to 9" in error_of(Arguments(run=run, label=10))
    assert "give only one" in error_of(Arguments(run=run, label=1, wrong=True))
    assert "expected one RUN" in error_of(Arguments())
    assert "expected one RUN" in error_of(Arguments(run=run, compare=(run, run)))
    assert "--compare has 4 runs: expected two or three" in error_of(Arguments(compare=(run,) * 4))
    nowhere = tmp_path / "none" / "page.html"
    for name in ("html", "png", "npz"):
        message = f"--{name} is {nowhere}: cannot write there (No such file or directory)"
        assert error_of(Arguments(run=run, **{name: nowhere})) == message
    assert [path for path in run.iterdir() if path.name.startswith(".")] == []


def test_damaged_runs_give_one_line(run: Path, tmp_path: Path) -> None:
    weights = load_file(run / "model.safetensors")
    columns = write_run(tmp_path / "columns", sequence="columns")
    pixels = write_run(tmp_path / "pixels", sequence="pixels")
    assert re.search(
        "one run reads digits by rows, another digits by columns",
        error_of(Arguments(compare=(run, columns))),
    )
    (pixels / "config.json").unlink()
    assert "from steps of size 1" in error_of(Arguments(run=pixels))

    wide = {**weights, "layer.weight_ih_l0": torch.zeros(24, 9)}
    save_file(wide, run / "model.safetensors")
    assert "weights do not fit the model: size mismatch" in error_of(Arguments(run=run))
    odd = {**weights, "layer.weight_hh_l0": torch.zeros(12, 6)}
    save_file(odd, pixels / "model.safetensors")
    assert "expected 1, 3 or 4 times hidden_size rows" in error_of(Arguments(run=pixels))
    save_file({"weight": torch.zeros(1)}, pixels / "model.safetensors")
    assert "weights have no 'layer.weight_ih_l0'" in error_of(Arguments(run=pixels))
    (run / "model.safetensors").write_bytes(b"no weights")
    assert "cannot read weights from" in error_of(Arguments(run=run))
    torch.save([1], run / "list.pt")
    assert "does not contain a state_dict" in error_of(Arguments(run=run / "list.pt"))
    for text in ("{", "[]", '{"hidden_size": 0}'):
        (columns / "config.json").write_text(text)
        assert "run's configuration" in error_of(Arguments(run=columns))
