"""The live page: one HTML file with the engine, the weights and a few test images."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from torch import Tensor

from cell_verifier.mistakes.step import MISTAKES
from gate_explorer.live.spec import Spec
from sequenced_mnist import ImageSets

ENGINE_SCRIPTS = (
    "matrix.js",
    "functions.js",
    "mistakes.js",
    "plans.js",
    "cells.js",
    "unroll.js",
    "equations.js",
    "engine.js",
    "api.js",
)
PAGE_SCRIPTS = (
    "colours.js",
    "texts.js",
    "centring.js",
    "drawing.js",
    "picture.js",
    "sources.js",
    "seen.js",
    "panels.js",
    "network.js",
    "explain.js",
    "interventions.js",
    "controls.js",
    "predict.js",
    "guide.js",
    "link.js",
    "playback.js",
    "page.js",
)
STYLES = ("page.css", "controls.css", "networks.css")
NOT_IN_THE_ENGINE = {"peepholes"}
"""Mistakes of one time step that need weights which a run does not have."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A test image that the visitor can select.

    Attributes:
        index: of the image in the test set.
        label: its correct class.
        pixels: (height, width) uint8.
    """

    index: int
    label: int
    pixels: Tensor


def unsupported(name: str, sentence: str) -> Spec:
    """The entry of a model that the engine cannot run, with the reason as one sentence."""
    return {"name": name, "unsupported": sentence}


def sample_images(images: ImageSets) -> list[Sample]:
    """The first test image of each class."""
    labels = images.test_labels.tolist()
    indices = [labels.index(label) for label in range(images.num_classes) if label in labels]
    return [Sample(index, labels[index], images.test_images[index]) for index in indices]


def render_live_page(
    models: Sequence[Spec],
    samples: Sequence[Sample],
    *,
    title: str,
    dataset: str,
    sequence: str,
    class_names: Sequence[str],
) -> str:
    """The page as HTML.

    Args:
        models: from ``spec_of`` or ``unsupported``; they read the same images in the same way.
        samples: at least one test image.
        title: heading of the page.
        dataset: name of the data set.
        sequence: how an image is read: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        class_names: the name of each class.
    """
    height, width = samples[0].pixels.shape
    data = {
        "title": title,
        "image": {
            "height": height,
            "width": width,
            "dataset": dataset,
            "sequence": sequence,
            "class_names": list(class_names),
        },
        "samples": [
            {
                "index": sample.index,
                "label": sample.label,
                "pixels": base64.b64encode(sample.pixels.numpy().tobytes()).decode(),
            }
            for sample in samples
        ],
        "models": list(models),
        "mistakes": mistake_texts(),
    }
    return Template(resource("page.html")).substitute(
        title=escape(title),
        css="\n".join(map(resource, STYLES)),
        scripts="\n".join(map(resource, ENGINE_SCRIPTS + PAGE_SCRIPTS)),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    )


def mistake_texts() -> list[dict[str, Any]]:
    """The mistakes that the engine can make, with the texts of the verifier's catalogue."""
    return [
        {
            "id": each.id,
            "cells": list(each.kinds),
            "variants": [change.detail for change in each.changes(each.kinds[0])],
            "why": each.why,
            "right": each.right,
            "wrong": each.wrong,
            "fix": each.fix,
        }
        for each in MISTAKES
        if each.id not in NOT_IN_THE_ENGINE
    ]


def resource(name: str) -> str:
    """A file of this folder."""
    return (files("gate_explorer.live") / name).read_text(encoding="utf-8")
