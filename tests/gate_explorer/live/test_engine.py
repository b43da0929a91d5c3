"""The engine of the live page against torch: every value of every configuration."""

import copy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from scratch_cells import trace
from sequenced_mnist import to_sequences
from tests.gate_explorer.live import torch_engine
from tests.gate_explorer.live.engines import (
    Job,
    differences,
    digits,
    random_classifier,
    run_in_browser,
    run_in_node,
)

CONFIGURATIONS = [
    (kind, {"num_layers": layers, "bidirectional": directions == 2, "bias": bias} | extra)
    for kind, extras in (
        ("rnn", ({"nonlinearity": "tanh"}, {"nonlinearity": "relu"})),
        ("gru", ({},)),
        ("lstm", ({}, {"proj_size": 3})),
    )
    for extra in extras
    for layers, directions, bias in product((1, 2), (1, 2), (True, False))
]
MANY_IMAGES = [
    ("rnn", {"num_layers": 2}),
    ("gru", {"num_layers": 2, "bidirectional": True}),
    ("lstm", {"num_layers": 2, "hidden_size": 6}),
]
FEW, MANY = 45, 1000
"""Images of each configuration: together they read each of the 1,797 images; and of the others."""


def name_of(kind: str, options: dict[str, Any]) -> str:
    return " ".join([kind, *(f"{name}={value}" for name, value in options.items())])


def jobs_of_every_configuration(prefixes: bool) -> list[Job]:
    images = digits()
    jobs = []
    for number, (kind, options) in enumerate(CONFIGURATIONS):
        read = images[number * FEW % len(images) :][:FEW]
        model = random_classifier(kind, number, **options)
        jobs.append(Job(name_of(kind, options), kind, model, read))
        if prefixes:
            jobs.append(Job(f"{jobs[-1].name}, prefixes", kind, model, read[:3], prefixes=True))
    return jobs


def jobs_of_other_sequences() -> list[Job]:
    images = digits()
    jobs = []
    for sequence, (kind, options) in product(("columns", "pixels", "permuted"), MANY_IMAGES):
        input_size = 8 if sequence == "columns" else 1
        model = random_classifier(kind, 5, input_size, **options)
        jobs.append(Job(f"{sequence}, {name_of(kind, options)}", kind, model, images[:5], sequence))
    return jobs


def jobs_of_many_images() -> list[Job]:
    return [
        Job(name_of(kind, options), kind, random_classifier(kind, 7, **options), digits()[:MANY])
        for kind, options in MANY_IMAGES
    ]


def jobs_of_one_changed_row() -> list[Job]:
    """Images of which each differs from the one before in one row, or not at all."""
    image = digits()[0]
    images = [image]
    for row in (7, 0, 3, 3, 4):
        images.append(images[-1].clone())
        images[-1][row] = 255 - images[-1][row]
    return [
        Job(f"one row, {name_of(kind, options)}", kind, model, torch.stack([*images, images[-1]]))
        for kind, options in MANY_IMAGES
        for model in [random_classifier(kind, 2, **options)]
    ]


@pytest.mark.slow
def test_node_computes_what_torch_computes(tmp_path: Path) -> None:
    jobs = [
        *jobs_of_every_configuration(prefixes=True),
        *jobs_of_other_sequences(),
        *jobs_of_many_images(),
        *jobs_of_one_changed_row(),
    ]
    assert differences(jobs, run_in_node(jobs, tmp_path)) == []


@pytest.mark.slow
@pytest.mark.browser
def test_chromium_computes_what_torch_computes(tab: Any) -> None:
    jobs = [*jobs_of_every_configuration(prefixes=False), *jobs_of_other_sequences()]
    assert sum(len(job.images) for job in jobs) >= MANY
    assert differences(jobs, run_in_browser(jobs, tab)) == []


@pytest.mark.parametrize(("kind", "options"), CONFIGURATIONS)
def test_the_transcription_equals_torch(kind: str, options: dict[str, Any]) -> None:
    """What the engine is compared with is itself compared with torch.nn and ``trace``."""
    model = random_classifier(kind, 3, **options).double()
    x = to_sequences(digits()[:4], "rows").double().requires_grad_()
    values = torch_engine.run(model, kind, x.detach())
    logits = model(x)
    torch.testing.assert_close(values["logits"], logits.detach())
    winning = logits.max(dim=1).values.sum()
    torch.testing.assert_close(values["gradient of x"], *torch.autograd.grad(winning, x))
    for number, cell in enumerate(trace(model.layer, x)):
        for name, part in {**cell.gates._asdict(), **cell.states}.items():
            torch.testing.assert_close(values[f"{number} {name}"], part.detach())


def test_a_difference_is_found(tmp_path: Path) -> None:
    """A bias of one gate, or of the readout, that is wrong by 2e-5."""
    model = random_classifier("lstm", 1)
    job = Job("lstm", "lstm", model, digits()[:3])
    values = run_in_node([job], tmp_path)
    assert differences([job], values) == []
    for name, seen in (("layer.bias_ih_l0", "0 a input"), ("readout.bias", "logits")):
        wrong = copy.deepcopy(model)
        with torch.no_grad():
            wrong.get_parameter(name)[0] += 2e-5
        first, *_ = differences([Job("lstm", "lstm", wrong, job.images)], values)
        assert first == f"lstm: {seen} differs by 2.0e-05"
