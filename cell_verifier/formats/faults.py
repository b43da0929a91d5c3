"""The faults of exporters and ports: the catalogue's mistakes, and what an export can freeze."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from cell_verifier.formats.weights import LayerWeights
from cell_verifier.mistakes import variants
from cell_verifier.mistakes.mistake import Change, Mistakes, Variant, mistake, stages_of
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import (
    LayerConfig,
    RunResult,
    max_relative_difference,
    run_layer,
)
from cell_verifier.report import Diagnosis


@mistake(
    "biases-dropped",
    "step",
    why="neither bias of a cell is added",
    right="W_ih x + b_ih + W_hh h + b_hh",
    wrong="W_ih x + W_hh h",
    fix="export or copy both biases",
)
def biases_dropped(kind: str) -> Iterator[Change]:
    yield Change(
        weights=lambda w: w._replace(
            b_ih=torch.zeros_like(w.b_ih), b_hh=torch.zeros_like(w.b_hh)
        )
    )  # fmt: skip


@mistake(
    "time-reversed",
    "sequence",
    why="a direction reads the sequence from the other end",
    right="forward: steps 0 to T-1; reverse: steps T-1 to 0",
    wrong="forward: steps T-1 to 0; or reverse: steps 0 to T-1",
    fix="flip the input of the reverse direction, and only of that direction, along time",
)
def time_reversed(kind: str) -> Iterator[Change]:
    yield Change(
        "of all directions",
        stages={
            "arrange_input": lambda x, batch_first: x.flip(0),
            "arrange_output": lambda output, batch_first: output.flip(-3),
        },
    )


FROZEN_LENGTH = Diagnosis(
    "frozen-length",
    "",
    "the number of time steps of the exported example is a constant of the program",
    "for x_t in x, for every length",
    "for t in range(T of the example)",
    "export the loop as one recurrent operator, or declare the time axis as dynamic",
)
FROZEN_BATCH = Diagnosis(
    "frozen-batch",
    "",
    "the number of samples of the exported example is a constant of the program",
    "h_0 = zeros(L*D, x's batch, H)",
    "h_0 = zeros(L*D, batch of the example, H), saved as a constant",
    "declare the batch axis as dynamic, and pass the initial state as an input",
)
DROPOUT_ACTIVE = Diagnosis(
    "dropout-active",
    "",
    "repeated calls differ: dropout was exported in train mode",
    "layer.eval() before the export",
    "the export of a layer in train mode",
    "call layer.eval(), then export again",
)


SAME = 1e-6
"""Relative difference that the rounding of float32 explains."""


def diagnose(
    observed: RunResult,
    kind: Kind,
    weights: LayerWeights,
    probe: Probe,
    config: LayerConfig,
    tolerance: float,
) -> Mistakes:
    """The mistake with which torch.nn's equations best give what the program returns; or none.

    A mistake in the weights is also tried in the reverse directions alone, and in one cell alone.
    """
    scopes = ["step", "boundary", "sequence"] + ["multi-layer"] * (config.num_cells > 1)
    own = [
        Variant(each, change)
        for each in (biases_dropped, time_reversed)
        for change in each.changes(kind.name)
    ]
    best: tuple[float, Mistakes] = (tolerance, ())
    for variant in [*own, *variants(kind.name, *scopes)]:  # type: ignore[arg-type]
        for where, cells in _changed_weights(variant, weights):
            try:
                simulated = run_layer(kind, cells, probe, stages_of((variant,)), config)
            except Exception:  # a mistake that needs as many time steps as samples
                continue
            difference = max_relative_difference(observed, with_last(simulated, config))
            difference = max(difference, SAME)  # of those that match exactly, the first
            if difference < best[0]:
                detail = ", ".join(part for part in (variant.change.detail, where) if part)
                found = replace(variant, change=replace(variant.change, detail=detail))
                best = difference, (found,)
    return best[1]


def _changed_weights(
    variant: Variant, weights: LayerWeights
) -> Iterator[tuple[str, list[Weights]]]:
    """The weights as read with a mistake, in all cells, or in some; with the place."""
    cells, change = list(weights.cells), variant.change.weights
    if change is None:
        yield "", cells
        return
    everywhere = [change(cell) for cell in cells]
    yield "", everywhere
    if len(cells) == 1:
        return
    if weights.num_directions == 2:
        for d, name in ((1, "reverse"), (0, "forward")):
            some = [everywhere[n] if n % 2 == d else cells[n] for n in range(len(cells))]
            yield f"in the {name} direction", some
    for n in range(len(cells)):
        layer, d = divmod(n, weights.num_directions)
        place = f"in layer {layer}" + (", reverse direction" if d else "")
        yield place, [everywhere[n] if m == n else cells[m] for m in range(len(cells))]


def with_last(result: RunResult, config: LayerConfig) -> RunResult:
    """The results of a layer, with the outputs of the last step that each direction processes."""
    last = torch.cat(list(result["h"][-config.num_directions :]), dim=-1)
    return {**result, "last": last}
