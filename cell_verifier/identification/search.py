"""Find the algebra that gives the user's numbers: torch.nn's, or torch.nn's with known mistakes.

Nothing is guessed from the size of an error. Candidates are run on the user's own weights, many at
once along a leading axis, and one is taken when it reproduces every number to 1e-6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from cell_verifier.calling.conventions import CellConvention, LayerConvention
from cell_verifier.calling.discover import Trial
from cell_verifier.mistakes.catalogue import (
    Variant,
    Where,
    compatible,
    stages_of,
    variants,
    weights_of,
)
from cell_verifier.parameters.correspondence import Correspondence
from cell_verifier.reference.equations import Stages, Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import FLOAT64, Probe
from cell_verifier.reference.simulate import Observation, Stack, run_cell, run_layer

AT_ONCE = 4096
"""So many sets of weights are run side by side."""

MOST_IN_PAIRS = 96
"""Two mistakes at once are tried with at most so many correspondences, the likeliest first."""

Made = tuple[Variant, ...]


@dataclass(frozen=True)
class Finding:
    """What reproduces the user's numbers: how it is called, what its weights are, what is wrong."""

    trial: Trial
    correspondence: Correspondence
    made: Made


@dataclass(frozen=True)
class Question:
    """What is searched: the trials, the correspondences, their weights along a first axis."""

    kind: Kind
    probe: Probe
    trials: Sequence[Trial]
    correspondences: Sequence[Correspondence]
    weights: Weights
    places: tuple[Where, ...] = ("step", "edge", "sequence")
    tolerance: float = FLOAT64.reproduced

    def first(self, count: int) -> "Question":
        """The same with the first few correspondences only."""
        few = Weights(*(part[:count] for part in self.weights))
        return replace(self, correspondences=self.correspondences[:count], weights=few)


def search(question: Question, most: int = 2) -> Finding | None:
    """The first of: no mistake, one mistake, two, that reproduces a trial; None if none does."""
    tiers = (_none, _single, _pairs)[: most + 1]
    for tier in tiers:
        for trial in question.trials:
            asked = question.first(MOST_IN_PAIRS) if tier is _pairs else question
            for together in tier(question, trial):
                found = _first_match(asked, trial, together)
                if found is not None:
                    return found
    return None


def applicable(question: Question, trial: Trial) -> list[Variant]:
    """The variants that a cell or a layer can show in its numbers."""
    if isinstance(trial.convention, CellConvention):
        return variants(question.kind.name, "step", "edge")
    known = variants(question.kind.name, *question.places)
    if trial.convention.takes_state:
        return known
    return [each for each in known if not {"take"} & each.change.stages.keys()]


def _none(question: Question, trial: Trial) -> Iterator[list[Made]]:
    yield [()]


def _single(question: Question, trial: Trial) -> Iterator[list[Made]]:
    yield from _same_stages([(each,) for each in applicable(question, trial)])


def _pairs(question: Question, trial: Trial) -> Iterator[list[Made]]:
    known = applicable(question, trial)
    pairs = [(one, two) for one, two in combinations(known, 2) if compatible(one, two)]
    yield from _same_stages(pairs)


def _same_stages(all_made: Sequence[Made]) -> Iterator[list[Made]]:
    """Those that differ only in how weights are read go together, to be run side by side."""
    together: dict[tuple[object, ...], list[Made]] = {}
    for made in all_made:
        stages = tuple(sorted((name, id(stage)) for name, stage in stages_of(made).items()))
        together.setdefault(stages, []).append(made)
    yield from together.values()


def _first_match(question: Question, trial: Trial, together: list[Made]) -> Finding | None:
    """Run mistakes of the same stages with every correspondence; the first that fits."""
    stages = stages_of(together[0])
    count = len(question.correspondences)
    most = max(1, AT_ONCE // count)
    for start in range(0, len(together), most):
        chunk = together[start : start + most]
        altered = [weights_of(made, question.weights) for made in chunk]
        weights = Weights(*(torch.cat(same) for same in zip(*altered, strict=True)))
        shown = imitate(question.kind, trial, weights, question.probe, stages)
        matches = reproduces(shown, trial.observed, question.tolerance)
        if bool(matches.any()):
            place = int(matches.to(torch.uint8).argmax())
            made, correspondence = chunk[place // count], question.correspondences[place % count]
            return Finding(trial, correspondence, made)
    return None


def imitate(
    kind: Kind, trial: Trial, weights: Weights, probe: Probe, stages: Stages
) -> Observation:
    """Run the algebra as the trial ran the user's module."""
    if isinstance(trial.convention, LayerConvention):
        asked = probe if trial.convention.takes_state else probe.zero_state()
        stack = Stack(batch_first=trial.convention.batch_first)
        return run_layer(kind, [weights], asked, stages, stack)
    return run_cell(kind, weights, probe, stages)


def reproduces(shown: Observation, observed: Observation, tolerance: float) -> Tensor:
    """For each candidate along the first axis, whether it shows what was observed."""
    matches = torch.tensor(True)
    for name, part in observed.items():
        if not part.isfinite().all():
            return torch.tensor([False])
        apart = (shown[name] - part).abs().flatten(-3).amax(-1)
        matches = matches & (apart <= tolerance * max(1.0, float(part.abs().max())))
    return matches.reshape(-1)
