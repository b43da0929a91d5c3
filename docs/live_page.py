"""Add the live page to the documentation, as live.html: a hook of MkDocs, see mkdocs.yml.

The models and the test images are those of live_models.safetensors, which
`docs/make_live_models.py` writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from gate_explorer.inputs.infer_model import infer_classifier, load_weights
from gate_explorer.live.page import Sample, render_live_page
from gate_explorer.live.spec import spec_of

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

MODELS = Path(__file__).parent / "live_models.safetensors"
CLASS_NAMES = tuple("0123456789")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add live.html to the files of the site."""
    from mkdocs.structure.files import File  # here, because the tests use render() without MkDocs

    files.append(File.generated(config, "live.html", content=render()))
    return files


def render(path: Path = MODELS) -> str:
    """The live page as HTML, with the models of the file."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping: only keys() gives the names
        about = json.loads(file.metadata()["models"])
    fields = (tensors[f"samples.{name}"] for name in ("indices", "labels", "pixels"))
    samples = [
        Sample(int(index), int(label), pixels) for index, label, pixels in zip(*fields, strict=True)
    ]
    specs = []
    for cell, details in about.items():
        weights = {
            name.removeprefix(f"{cell}."): tensor.float()
            for name, tensor in tensors.items()
            if name.startswith(f"{cell}.")
        }
        model = infer_classifier(weights)
        load_weights(model, weights)
        size = samples[0].pixels.shape
        specs.append(
            spec_of(
                model,
                sequence="rows",
                image_size=(size[0], size[1]),
                class_names=CLASS_NAMES,
                **details,
            )
        )
    return render_live_page(
        specs,
        samples,
        title="RNN, GRU and LSTM read your digit",
        dataset="mnist",
        sequence="rows",
        class_names=CLASS_NAMES,
    )
