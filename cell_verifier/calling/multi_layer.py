"""Call a layer of several cells with the convention found for the layer of one cell."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.calling.discover import layer_return_layouts
from cell_verifier.calling.nested_tensors import leaves, rebuild
from cell_verifier.reference.probes import HIDDEN_SIZE, Probe
from cell_verifier.reference.simulate import LayerConfig, RunResult


def run_multi_layer(
    module: nn.Module, convention: LayerConvention, probe: Probe, config: LayerConfig
) -> list[RunResult]:
    """Run a multi-layer module; which returned tensor is which is identified again by shape.

    Returns:
        Every interpretation of what the module returned; a list of states can be sorted by cell or
        by part. Empty if nothing has the shapes of outputs or states.

    Raises:
        Exception: whatever the module raises.
    """
    try:
        found = list(_results(module, convention, probe, config))
    except Exception:
        listed = _run_with_listed_states(module, convention, probe)
        if listed:
            return [listed]
        raise
    if found and all(len(each) >= _expected_count(convention) for each in found):
        return found
    listed = _run_with_listed_states(module, convention, probe)
    return [listed] if listed else found


def missing_parts(convention: LayerConvention, observed: RunResult) -> str:
    """The parts that a layer of one cell returns and ``observed`` does not have, in words."""
    names = ["output"] if convention.output is not None else []
    names += convention.kind.state[: len(convention.state)]
    return " and ".join(name for name in names if name not in observed)


def _expected_count(convention: LayerConvention) -> int:
    return int(convention.output is not None) + len(convention.state)


def _results(
    module: nn.Module, convention: LayerConvention, probe: Probe, config: LayerConfig
) -> Iterator[RunResult]:
    """Every interpretation of what the module returns."""
    time, batch = probe.x.shape[:2]
    returned = leaves(convention.call(module, probe))
    if convention.steps_listed:
        returned = [torch.stack(returned[:time], int(convention.batch_first)), *returned[time:]]
    cells, directions = config.num_cells, config.num_directions
    for tensors in (returned, *_stacked_states(convention, returned, cells, (batch, HIDDEN_SIZE))):
        for output, state in layer_return_layouts(
            convention, tensors, (time, batch, HIDDEN_SIZE), cells, directions
        ):
            layout = replace(convention, output=output, state=state, steps_listed=False)
            if len(state) >= len(convention.state) or tensors is returned:
                yield layout.observed(tensors, probe)


def _stacked_states(
    convention: LayerConvention, returned: list[Tensor], cells: int, sizes: tuple[int, int]
) -> Iterator[list[Tensor]]:
    """The returned tensors with the states of each part stacked: (B, H) each -> (L*D, B, H).

    The states are sorted by cell, (h, c), (h, c), or by part, (h, h), (c, c): both are tried.
    """
    parts = len(convention.kind.state)
    single = [n for n, leaf in enumerate(returned) if leaf.squeeze(0).shape == sizes]
    if cells == 1 or len(single) != cells * parts:
        return
    others = [leaf for n, leaf in enumerate(returned) if n not in single]
    flat = [returned[n].reshape(sizes) for n in single]
    by_part = [flat[n * cells : (n + 1) * cells] for n in range(parts)]
    by_cell = [flat[n::parts] for n in range(parts)]
    for split in (by_part, by_cell) if parts > 1 else (by_part,):
        yield [*others, *map(torch.stack, split)]


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
        order: Any = zip(*rows, strict=True) if by_cell else rows
        values = [row.reshape(shape) for group in order for row in group]
        output, final = module(x, rebuild(states, values))[:2]
        flat = [leaf.reshape(probe.state[0].shape[1:]) for leaf in leaves(final)]
    except Exception:  # the states are not such a list
        return {}
    split = [flat[n::parts] if by_cell else flat[n * cells : (n + 1) * cells] for n in range(parts)]
    named = {n: torch.stack(s) for n, s in zip(convention.kind.state, split, strict=True)}
    return {"output": output.transpose(0, 1) if convention.batch_first else output, **named}
