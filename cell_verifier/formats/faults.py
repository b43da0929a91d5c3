"""The faults of exporters and ports: the catalogue's mistakes, and what an export can freeze."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from cell_verifier.formats.weights import LayerWeights
from cell_verifier.mistakes import variants
from cell_verifier.mistakes.mistake import Change, Scope, Variant, mistake, stages_of
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import (
    LayerConfig,
    RunResult,
    max_relative_difference,
    run_layer,
)
from cell_verifier.report import Diagnosis, diagnosis_of


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


TIME_REVERSED = Diagnosis(
    "time-reversed",
    "",
    "a direction reads the sequence from the other end",
    "forward: steps 0 to T-1; reverse: steps T-1 to 0",
    "forward: steps T-1 to 0; or reverse: steps 0 to T-1",
    "flip the input of the reverse direction, and only of that direction, along time",
)
DIRECTIONS_EXCHANGED = Diagnosis(
    "directions-exchanged",
    "",
    "the outputs and states of both directions are in each other's place",
    "torch.cat([forward, reverse], dim=-1)",
    "torch.cat([reverse, forward], dim=-1)",
    "put the forward direction first",
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
) -> Diagnosis | None:
    """The mistake with which torch.nn's equations best give what the program returns; or none.

    A mistake in the weights is also tried in the reverse directions alone, and in one cell alone.
    """
    best: tuple[float, Diagnosis | None] = (tolerance, None)
    for diagnosis, result in _simulations(kind, weights, probe, config):
        difference = max_relative_difference(observed, with_last(result, config))
        difference = max(difference, SAME)  # of those that match exactly, the first
        if difference < best[0]:
            best = difference, diagnosis
    return best[1]


def _simulations(
    kind: Kind, weights: LayerWeights, probe: Probe, config: LayerConfig
) -> Iterator[tuple[Diagnosis, RunResult]]:
    """The results of torch.nn's equations with each mistake."""
    scopes: list[Scope] = ["step", "boundary", "sequence"]
    scopes += ["multi-layer"] if config.num_cells > 1 else []
    own = [Variant(biases_dropped, change) for change in biases_dropped.changes(kind.name)]
    for variant in [*own, *variants(kind.name, *scopes)]:
        for where, cells in _changed_weights(variant, weights):
            try:
                simulated = run_layer(kind, cells, probe, stages_of((variant,)), config)
            except Exception:  # a mistake that needs as many time steps as samples
                continue
            detail = ", ".join(part for part in (variant.change.detail, where) if part)
            yield replace(diagnosis_of(variant), detail=detail), simulated
    directions = ("forward", "reverse")[: config.num_directions]
    for wrong in (directions[:1], directions[1:], directions):
        if wrong:
            diagnosis = replace(TIME_REVERSED, detail=f"of the {' and the '.join(wrong)} direction")
            yield diagnosis, _run_in_directions(kind, weights, probe, config, wrong)
    if config.num_directions == 2:
        yield (
            DIRECTIONS_EXCHANGED,
            _exchanged(run_layer(kind, list(weights.cells), probe, {}, config)),
        )


def _run_in_directions(
    kind: Kind, weights: LayerWeights, probe: Probe, config: LayerConfig, wrong: Sequence[str]
) -> RunResult:
    """Run a layer of which some directions read the sequence from the wrong end."""
    x, finals = probe.x, []
    for layer in range(config.num_layers):
        outputs = []
        for d, name in enumerate(("forward", "reverse")[: config.num_directions]):
            index = layer * config.num_directions + d
            flipped = (name == "reverse") != (name in wrong)
            state = tuple(part[index : index + 1] for part in probe.state)
            read = Probe(x.flip(0) if flipped else x, state)
            result = run_layer(kind, [weights.cells[index]], read, {})
            outputs.append(result["output"].flip(0) if flipped else result["output"])
            finals.append([result[name] for name in kind.state])
        x = torch.cat(outputs, dim=-1)
    parts = zip(kind.state, zip(*finals, strict=True), strict=True)
    return {"output": x, **{name: torch.cat(list(each)) for name, each in parts}}


def _exchanged(result: RunResult) -> RunResult:
    """The results of a layer with both directions in each other's place."""
    return {
        name: part.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
        if name == "output"
        else part.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        for name, part in result.items()
    }


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
