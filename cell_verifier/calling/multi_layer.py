"""Call a layer of several cells, as the layer of one was found to be called."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cell_verifier.calling.conventions import LayerConvention, give_axis
from cell_verifier.calling.discover import layer_readings
from cell_verifier.calling.nested_tensors import leaves, rebuild
from cell_verifier.reference.probes import (
    HIDDEN_SIZE,
    Probe,
)
from cell_verifier.reference.simulate import Observation, Stack


def run_stack(
    module: nn.Module, convention: LayerConvention, probe: Probe, stack: Stack
) -> Observation:
    """Run a stack as the layer of one cell was run; its leaves are read by their shapes anew."""
    cells = stack.layers * stack.directions
    sizes = (probe.x.size(0), probe.x.size(1), HIDDEN_SIZE)
    x = probe.x.transpose(0, 1).contiguous() if convention.batch_first else probe.x
    try:
        returned = leaves(_call(module, convention, probe, x))
        for output, state in layer_readings(convention, returned, sizes, cells, stack.directions):
            return replace(convention, output=output, state=state).run(module, probe)
    except Exception:
        listed = _run_listed(module, convention, probe, x)
        if listed:
            return listed
        raise
    return _run_listed(module, convention, probe, x)


def _call(module: nn.Module, convention: LayerConvention, probe: Probe, x: torch.Tensor) -> Any:
    if not convention.takes_state:
        return module(x)
    parts = tuple(give_axis(part, convention.axis) for part in probe.state)
    return convention.packing.call(module, x, parts)


def _run_listed(
    module: nn.Module, convention: LayerConvention, probe: Probe, x: torch.Tensor
) -> Observation:
    """States as a list with one entry per cell, in the nesting that the module itself returns."""
    cells, parts = probe.state[0].size(0), len(probe.state)
    try:
        nested = module(x)
        states = nested[1]
        shape = leaves(states)[0].shape
        if len(leaves(states)) != cells * parts:
            return {}
        by_cell = len(states) == cells
        rows = [part.unbind(0) for part in probe.state]
        order = zip(*rows, strict=True) if by_cell else rows
        values = [row.reshape(shape) for group in order for row in group]
        output, final = module(x, rebuild(states, values))[:2]
    except Exception:
        return {}
    flat = [leaf.reshape(probe.state[0].shape[1:]) for leaf in leaves(final)]
    split = [flat[n::parts] if by_cell else flat[n * cells : (n + 1) * cells] for n in range(parts)]
    named = {n: torch.stack(s) for n, s in zip(convention.kind.state, split, strict=True)}
    return {"output": output.transpose(0, 1) if convention.batch_first else output, **named}
