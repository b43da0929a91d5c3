"""Search for the equations that match the user's outputs: torch.nn's, or these with mistakes.

Nothing is inferred from the size of an error. The equations run on the user's own weights, with
many candidates at once along a leading axis; a candidate matches if every element does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from cell_verifier.calling.conventions import CellConvention, LayerConvention
from cell_verifier.calling.discover import Trial
from cell_verifier.mistakes import variants
from cell_verifier.mistakes.mistake import (
    Mistakes,
    Scope,
    Variant,
    apply_to_weights,
    compatible,
    stages_of,
)
from cell_verifier.parameters.correspondence import Correspondence
from cell_verifier.reference.equations import Stages, Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import FLOAT64, Probe
from cell_verifier.reference.simulate import LayerConfig, RunResult, run_cell, run_layer

MAX_WEIGHT_SETS_AT_ONCE = 4096
"""Maximum number of sets of weights in one batched evaluation; bounds the memory of the search."""

MAX_CANDIDATES_FOR_PAIRS = 96
"""Maximum number of correspondences, the most likely first, tried with pairs of mistakes; bounds
the time of the search."""


@dataclass(frozen=True)
class Match:
    """What matches the user's outputs: the convention, the correspondence and the mistakes."""

    trial: Trial
    correspondence: Correspondence
    mistakes: Mistakes


@dataclass(frozen=True)
class SearchProblem:
    """The candidates of a search.

    Attributes:
        kind: the recurrence.
        probe: the probe on which the trials ran.
        trials: the conventions, with what the module returned.
        correspondences: the candidate correspondences.
        weights: their weights, along a first axis.
        scopes: the mistakes to try with a layer.
        tolerance: relative to the largest element that the module returned.
    """

    kind: Kind
    probe: Probe
    trials: Sequence[Trial]
    correspondences: Sequence[Correspondence]
    weights: Weights
    scopes: tuple[Scope, ...] = ("step", "boundary", "sequence")
    tolerance: float = FLOAT64.match

    def first(self, count: int) -> "SearchProblem":
        """The same problem with only the first correspondences."""
        few = Weights(*(part[:count] for part in self.weights))
        return replace(self, correspondences=self.correspondences[:count], weights=few)


def search(problem: SearchProblem, max_mistakes: int = 2) -> Match | None:
    """The match with the fewest mistakes, at most two; None if there is none."""
    tiers = (_none, _single, _pairs)[: max_mistakes + 1]
    for tier in tiers:
        candidates = problem.first(MAX_CANDIDATES_FOR_PAIRS) if tier is _pairs else problem
        for trial in problem.trials:
            for batch in tier(problem, trial):
                found = _first_match(candidates, trial, batch)
                if found is not None:
                    return found
    return None


def applicable(problem: SearchProblem, trial: Trial) -> list[Variant]:
    """The variants that can show in the outputs under the trial's convention."""
    if isinstance(trial.convention, CellConvention):
        return variants(problem.kind.name, "step", "boundary")
    known = variants(problem.kind.name, *problem.scopes)
    if trial.convention.takes_state:
        return known
    return [each for each in known if "receive_state" not in each.change.stages]


def _none(problem: SearchProblem, trial: Trial) -> Iterator[list[Mistakes]]:
    yield [()]


def _single(problem: SearchProblem, trial: Trial) -> Iterator[list[Mistakes]]:
    yield from _same_stages([(each,) for each in applicable(problem, trial)])


def _pairs(problem: SearchProblem, trial: Trial) -> Iterator[list[Mistakes]]:
    known = [each for each in applicable(problem, trial) if each.change.in_pairs]
    pairs = [(one, two) for one, two in combinations(known, 2) if compatible(one, two)]
    yield from _same_stages(pairs)


def _same_stages(all_mistakes: Sequence[Mistakes]) -> Iterator[list[Mistakes]]:
    """Group mistakes that replace the same stages: these can be evaluated in one batch."""
    groups: dict[tuple[object, ...], list[Mistakes]] = {}
    for mistakes in all_mistakes:
        stages = tuple(sorted((name, id(stage)) for name, stage in stages_of(mistakes).items()))
        groups.setdefault(stages, []).append(mistakes)
    yield from groups.values()


def _first_match(problem: SearchProblem, trial: Trial, batch: list[Mistakes]) -> Match | None:
    """The first match of mistakes with the same stages and any correspondence, or None."""
    stages = stages_of(batch[0])
    count = len(problem.correspondences)
    chunk_size = max(1, MAX_WEIGHT_SETS_AT_ONCE // count)
    for start in range(0, len(batch), chunk_size):
        chunk = batch[start : start + chunk_size]
        changed = [apply_to_weights(mistakes, problem.weights) for mistakes in chunk]
        weights = Weights(*(torch.cat(same) for same in zip(*changed, strict=True)))
        if not _first_step_may_match(problem, trial, weights, chunk[0]):
            continue
        simulated = simulate(problem.kind, trial, weights, problem.probe, stages)
        matches = reproduces(simulated, trial.observed, problem.tolerance)
        if bool(matches.any()):
            index = int(matches.to(torch.uint8).argmax())
            return Match(trial, problem.correspondences[index % count], chunk[index // count])
    return None


def _first_step_may_match(
    problem: SearchProblem, trial: Trial, weights: Weights, mistakes: Mistakes
) -> bool:
    """Whether any of the weights may match; false if none matches at the first time step.

    Most candidates fail there, and one step takes a fraction of the time of all.
    """
    cell = isinstance(trial.convention, CellConvention)
    names = trial.observed.keys() if cell else trial.observed.keys() & {"output"}
    if not names or not all(each.mistake.scope in ("step", "boundary") for each in mistakes):
        return True
    if not cell and any(each.mistake.scope == "boundary" for each in mistakes):
        return True
    probe = Probe(problem.probe.x[:1], problem.probe.state)
    simulated = simulate(problem.kind, trial, weights, probe, stages_of(mistakes))
    first = {name: trial.observed[name][:1] for name in names}
    return bool(reproduces(simulated, first, problem.tolerance).any())


def simulate(kind: Kind, trial: Trial, weights: Weights, probe: Probe, stages: Stages) -> RunResult:
    """Run the equations under the trial's convention."""
    if isinstance(trial.convention, LayerConvention):
        initial = trial.convention.received(probe)
        config = LayerConfig(batch_first=trial.convention.batch_first)
        return run_layer(kind, [weights], initial, stages, config)
    return run_cell(kind, weights, probe, stages)


def reproduces(simulated: RunResult, observed: RunResult, tolerance: float) -> Tensor:
    """For each candidate along the first axis, whether it matches what the module returned."""
    matches = torch.tensor(True)
    for name, part in observed.items():
        if not part.isfinite().all():
            return torch.tensor([False])
        difference = (simulated[name] - part).abs().flatten(-3).amax(-1)
        matches = matches & (difference <= tolerance * max(1.0, float(part.abs().max())))
    return matches.reshape(-1)
