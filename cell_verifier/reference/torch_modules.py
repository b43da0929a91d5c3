"""torch.nn itself, run on weights that are views of the user's parameters."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import Observation, Stack

NAMES = {"ih": "weight_ih", "hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}


def torch_module(
    kind: Kind, weights: Weights, stack: Stack | None = None, **options: object
) -> nn.Module:
    """torch.nn's cell of this kind, or its layer for a ``stack``; weights still to be given."""
    hidden_size, input_size = weights.ih.shape[-2:]
    if stack is None:
        return kind.cell(input_size, hidden_size, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about dropout in a layer of one
        return kind.layer(
            input_size, hidden_size, stack.layers, bidirectional=stack.directions == 2,
            dropout=stack.dropout, **options,
        )  # fmt: skip


def torch_weights(weights: Sequence[Weights], directions: int | None) -> dict[str, Tensor]:
    """Weights by torch.nn's names: of a cell, or of a layer with so many directions."""
    named = {}
    for index, w in enumerate(weights):
        suffix = ""
        if directions is not None:
            suffix = f"_l{index // directions}" + ("_reverse" if index % directions else "")
        for field, name in NAMES.items():
            named[name + suffix] = getattr(w, field).flatten(0, 1)
    return named


def run_torch_cell(kind: Kind, w: Weights, probe: Probe) -> Observation:
    """torch.nn's cell, step by step: ``output`` and the state, each (T, B, H)."""
    cell = torch_module(kind, w).to(probe.x.dtype)
    named = torch_weights([w], None)
    state = probe.state
    states = []
    for x in probe.x:
        given = state if len(kind.state) > 1 else state[0]
        returned = functional_call(cell, named, (x, given))
        state = returned if isinstance(returned, tuple) else (returned,)
        states.append(state)
    parts = dict(zip(kind.state, map(torch.stack, zip(*states, strict=True)), strict=True))
    return {"output": parts["h"], **parts}


def run_torch_layer(
    kind: Kind, weights: Sequence[Weights], probe: Probe, stack: Stack, training: bool = False
) -> Observation:
    """torch.nn's layer: ``output`` (T, B, D*H) and the final state, (L*D, B, H) each part."""
    layer = torch_module(kind, weights[0], stack).to(probe.x.dtype).train(training)
    given = probe.state if len(kind.state) > 1 else probe.state[0]
    named = torch_weights(weights, stack.directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that views are no single chunk of memory
        output, final = functional_call(layer, named, (probe.x, given))
    state = final if isinstance(final, tuple) else (final,)
    return {"output": output, **dict(zip(kind.state, state, strict=True))}
