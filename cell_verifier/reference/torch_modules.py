"""Run torch.nn's own modules on weights that are views of the user's parameters."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import LayerConfig, RunResult

NAMES = {"ih": "weight_ih", "hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}


def torch_module(
    kind: Kind, weights: Weights, config: LayerConfig | None = None, **options: object
) -> nn.Module:
    """torch.nn's cell of this kind, or its layer for a ``config``; its weights are not set."""
    hidden_size, input_size = weights.ih.shape[-2:]
    if config is None:
        return kind.cell(input_size, hidden_size, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.nn warns about dropout with num_layers=1
        return kind.layer(
            input_size, hidden_size, config.num_layers, bidirectional=config.num_directions == 2,
            dropout=config.dropout, **options,
        )  # fmt: skip


def torch_weights(weights: Sequence[Weights], num_directions: int | None) -> dict[str, Tensor]:
    """Weights by torch.nn's parameter names: of a cell (None), or of a layer."""
    named = {}
    for index, w in enumerate(weights):
        suffix = ""
        if num_directions is not None:
            suffix = f"_l{index // num_directions}" + ("_reverse" if index % num_directions else "")
        for field, name in NAMES.items():
            named[name + suffix] = getattr(w, field).flatten(0, 1)
    return named


def run_torch_cell(kind: Kind, w: Weights, probe: Probe) -> RunResult:
    """Run torch.nn's cell over the sequence: ``output`` and the state, each (T, B, H)."""
    cell = torch_module(kind, w).to(probe.x.dtype)
    named = torch_weights([w], None)
    state = probe.state
    states = []
    for x in probe.x:
        state_argument = state if len(kind.state) > 1 else state[0]
        returned = functional_call(cell, named, (x, state_argument))
        state = returned if isinstance(returned, tuple) else (returned,)
        states.append(state)
    parts = dict(zip(kind.state, map(torch.stack, zip(*states, strict=True)), strict=True))
    return {"output": parts["h"], **parts}


def run_torch_layer(
    kind: Kind,
    weights: Sequence[Weights],
    probe: Probe,
    config: LayerConfig,
    training: bool = False,
) -> RunResult:
    """Run torch.nn's layer: ``output`` (T, B, D*H) and the final state, each part (L*D, B, H)."""
    layer = torch_module(kind, weights[0], config).to(probe.x.dtype).train(training)
    state_argument = probe.state if len(kind.state) > 1 else probe.state[0]
    named = torch_weights(weights, config.num_directions)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch.nn warns that the weights are not one chunk of memory
        output, final = functional_call(layer, named, (probe.x, state_argument))
    state = final if isinstance(final, tuple) else (final,)
    return {"output": output, **dict(zip(kind.state, state, strict=True))}
