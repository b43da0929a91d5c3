"""Run the engine of the live page in Node or in Chromium, and compare it with torch."""

import base64
import copy
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gate_explorer.live.page import ENGINE_SCRIPTS, resource
from gate_explorer.live.spec import spec_of
from sequenced_mnist import load_images, to_sequences
from shared_interface import SequenceClassifier
from tests.gate_explorer.live import torch_engine
from tests.gate_explorer.live.torch_engine import Intervention, Values
from tests.helpers.paths import ROOT

RUNNER = Path(__file__).with_name("run_engine.js")
ENGINE = ROOT / "gate_explorer" / "live" / "engine.js"
CLASSES = tuple("0123456789")
TOLERANCE = 1e-5  # of logits, probabilities, pre-activations, gates and states
GRADIENT_TOLERANCE = 1e-4


def digits() -> Tensor:
    """All 1,797 images of the embedded digits, (n, 8, 8) uint8."""
    images = load_images("digits", Path("data"))
    return torch.cat([images.train_images, images.test_images])


def random_classifier(kind: str, seed: int, input_size: int = 8, **options: Any) -> Any:
    """A classifier on torch.nn's layer with random weights in float32."""
    torch.manual_seed(seed)
    hidden_size = options.pop("hidden_size", 5)
    layer = getattr(nn, kind.upper())(input_size, hidden_size, batch_first=True, **options)
    return SequenceClassifier(layer, len(CLASSES)).eval()


@dataclass(frozen=True, eq=False)
class Job:
    """A model, the images that it reads, and the interventions.

    Attributes:
        name: for the message of a failed comparison.
        prefixes: whether the probabilities after each step are compared too.
    """

    name: str
    kind: str
    model: SequenceClassifier
    images: Tensor
    sequence: str = "rows"
    interventions: tuple[Intervention, ...] = ()
    prefixes: bool = False

    def as_json(self) -> dict[str, Any]:
        spec = spec_of(
            self.model,
            name=self.name,
            sequence=self.sequence,
            image_size=(8, 8),
            class_names=CLASSES,
        )
        return {
            "spec": spec,
            "images": self.images.flatten(1).tolist(),
            "interventions": list(self.interventions),
            "prefixes": self.prefixes,
        }

    def expected(self) -> Values:
        """What torch computes from the float32 weights, in float64."""
        model = copy.deepcopy(self.model).double()
        x = to_sequences(self.images, self.sequence).double()
        values = torch_engine.run(model, self.kind, x, self.interventions)
        if self.prefixes:
            arguments = (model, self.kind, x, self.interventions)
            return torch_engine.with_probabilities(values, *arguments)
        return values


def node() -> str:
    """The path of Node; the test is skipped where it is missing."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node is installed")
    return found


def run_in_node(jobs: Sequence[Job], folder: Path) -> NDArray[np.float32]:
    """The values of all jobs, from one process of Node."""
    (folder / "jobs.json").write_text(json.dumps([job.as_json() for job in jobs]))
    command = [node(), RUNNER, ENGINE, folder / "jobs.json", folder / "values"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.fromfile(folder / "values", "<f4")


def run_in_browser(jobs: Sequence[Job], page: Any) -> NDArray[np.float32]:
    """The values of all jobs, from a page of Chromium that has only the engine."""
    page.goto("about:blank")
    scripts = [resource(name) for name in ENGINE_SCRIPTS if name != "api.js"]
    page.add_script_tag(content="\n".join([*scripts, RUNNER.read_text(encoding="utf-8")]))
    texts = [page.evaluate("runJobAsText", job.as_json()) for job in jobs]
    return np.concatenate([np.frombuffer(base64.b64decode(text), "<f4") for text in texts])


def differences(jobs: Sequence[Job], values: NDArray[np.float32]) -> list[str]:
    """What differs from torch by more than the tolerance, one line for each job and value."""
    found, start = [], 0
    for job in jobs:
        expected = job.expected()
        count = sum(part.numel() for part in expected.values())
        rows = torch.tensor(values[start : start + count]).view(len(job.images), -1)
        start += count
        column = 0
        for name, part in expected.items():
            size = part[0].numel()
            computed = rows[:, column : column + size].view(part.shape).double()
            column += size
            tolerance = GRADIENT_TOLERANCE if "gradient" in name else TOLERANCE
            worst = float((computed - part).abs().max())
            if not worst <= tolerance:  # also where it is not a number
                found.append(f"{job.name}: {name} differs by {worst:.1e}")
    assert start == len(values)
    return found
