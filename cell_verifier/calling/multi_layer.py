"""Call a layer of several cells with the convention found for the layer of one cell."""

from dataclasses import replace

import torch
from torch import nn

from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.calling.discover import layer_return_layouts
from cell_verifier.calling.nested_tensors import leaves, rebuild
from cell_verifier.reference.probes import HIDDEN_SIZE, Probe
from cell_verifier.reference.simulate import LayerConfig, RunResult


def run_multi_layer(
    module: nn.Module, convention: LayerConvention, probe: Probe, config: LayerConfig
) -> RunResult:
    """Run a multi-layer module; which returned tensor is which is identified again by shape.

    Returns:
        What the module returned; empty if nothing has the shapes of outputs or states.

    Raises:
        Exception: whatever the module raises.
    """
    sizes = (probe.x.size(0), probe.x.size(1), HIDDEN_SIZE)
    try:
        returned = leaves(convention.call(module, probe))
        for output, state in layer_return_layouts(
            convention, returned, sizes, config.num_cells, config.num_directions
        ):
            return replace(convention, output=output, state=state).run(module, probe)
    except Exception:
        listed = _run_with_listed_states(module, convention, probe)
        if listed:
            return listed
        raise
    return _run_with_listed_states(module, convention, probe)


def _run_with_listed_states(
    module: nn.Module, convention: LayerConvention, probe: Probe
) -> RunResult:
    """Pass the states as a list with one entry per cell, in the nesting that the module returns."""
    cells, parts = probe.state[0].size(0), len(probe.state)
    x = convention.input_of(probe)
    try:
        states = module(x)[1]
        shape = leaves(states)[0].shape
        if len(leaves(states)) != cells * parts:
            return {}
        by_cell = len(states) == cells  # [(h, c), (h, c)] rather than ([h, h], [c, c])
        rows = [part.unbind(0) for part in probe.state]
        order = zip(*rows, strict=True) if by_cell else rows
        values = [row.reshape(shape) for group in order for row in group]
        output, final = module(x, rebuild(states, values))[:2]
    except Exception:  # the states are not such a list
        return {}
    flat = [leaf.reshape(probe.state[0].shape[1:]) for leaf in leaves(final)]
    split = [flat[n::parts] if by_cell else flat[n * cells : (n + 1) * cells] for n in range(parts)]
    named = {n: torch.stack(s) for n, s in zip(convention.kind.state, split, strict=True)}
    return {"output": output.transpose(0, 1) if convention.batch_first else output, **named}
