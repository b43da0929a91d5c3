"""Gradient norms compared with autograd through torch.nn's cells, and with finite differences."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import builtin_models
import scratch_cells
from gate_explorer import observe
from shared_interface import SequenceClassifier
from tests.gate_explorer.small_models import IMAGE, KINDS, UNITS, classifier

CELLS = {"RNN": nn.RNNCell, "GRU": nn.GRUCell, "LSTM": nn.LSTMCell}


def torch_gradient_norms(kind: str, model: SequenceClassifier, steps: Tensor) -> dict[str, Tensor]:
    """Norms by autograd through torch.nn's own cells, with retain_grad() on every state."""
    layer = model.layer
    cells = []
    for index in range(layer.num_layers):
        cell = CELLS[kind](layer.input_size if index == 0 else UNITS, UNITS, dtype=torch.float64)
        weights = {name: getattr(layer, f"{name}_l{index}") for name, _ in cell.named_parameters()}
        cell.load_state_dict(weights)
        cells.append(cell)
    x = steps.clone().requires_grad_()
    states: list[Any] = [None] * len(cells)
    nodes: dict[str, list[Tensor]] = {}
    for t in range(len(steps)):
        below = x[t]
        for index, cell in enumerate(cells):
            states[index] = cell(below, states[index])
            parts = states[index] if kind == "LSTM" else (states[index],)
            for name, part in zip(("hidden", "cell"), parts, strict=False):
                part.retain_grad()
                nodes.setdefault(f"{index}.{name}", []).append(part)
            below = parts[0]
    scores = model.readout(below)
    scores[scores.argmax()].backward()
    gradients = {
        name: torch.stack([torch.zeros(UNITS) if s.grad is None else s.grad for s in at_each_step])
        for name, at_each_step in nodes.items()
    }
    for name in nodes.keys() & {"0.cell", "1.cell"}:
        # torch.nn's cell returns h and c separately, so the gradient that reaches c through
        # h = o tanh(c) of the same step has to be added
        c = torch.stack(nodes[name])
        h_name = name.replace("cell", "hidden")
        o = torch.stack(nodes[h_name]) / c.tanh()
        gradients[name] = gradients[name] + gradients[h_name] * o * (1 - c.tanh() ** 2)
    norms = {name: gradient.detach().norm(dim=1) for name, gradient in gradients.items()}
    return norms | {"input": x.grad.norm(dim=1)}


@pytest.mark.parametrize("package", [scratch_cells, builtin_models])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_autograd_through_torch_nns_cells(kind: str, package: Any) -> None:
    model = classifier(package, kind, num_layers=2)
    observation = observe(model, IMAGE)
    expected = torch_gradient_norms(kind, model, torch.from_numpy(observation.steps))
    np.testing.assert_allclose(observation.input_gradient, expected.pop("input"), rtol=1e-10)
    for cell in observation.cells:
        for name, norms in cell.gradients.items():
            np.testing.assert_allclose(norms, expected.pop(f"{cell.layer}.{name}"), rtol=1e-10)
    assert not expected


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_bidirectional_model_equal_central_differences(kind: str) -> None:
    model = classifier(nn, kind, bidirectional=True)
    observation = observe(model, IMAGE)
    steps = torch.from_numpy(observation.steps)
    predicted = observation.prediction
    estimate = torch.zeros_like(steps)
    with torch.no_grad():
        for index in np.ndindex(*steps.shape):
            nudge = torch.zeros_like(steps)
            nudge[index] = 1e-6
            difference = model(steps + nudge) - model(steps - nudge)
            estimate[index] = difference[predicted] / 2e-6
    np.testing.assert_allclose(observation.input_gradient, estimate.norm(dim=1), rtol=1e-6)
    # The readout reads the reverse state at step 0, so its gradient is the readout's weight.
    (reverse,) = [cell for cell in observation.cells if cell.reverse]
    w_readout = model.readout.weight[predicted, UNITS:].detach()
    np.testing.assert_allclose(reverse.gradients["hidden"][0], w_readout.norm(), rtol=1e-10)
