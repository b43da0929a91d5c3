"""Which calling convention and which correspondence of the parameters a wrong module has.

If no known mistake matches the module, identification cannot tell. Here the operations can: under
the right hypothesis more of them compute terms of torch.nn's equations than under any other.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cell_verifier.calling.construct import default_dtype
from cell_verifier.calling.conventions import Convention
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.subject import Experiment, Subject
from cell_verifier.identification.trials import find_trials
from cell_verifier.localisation.bench import GROUPS, Bench, candidates_of
from cell_verifier.localisation.terms import compute_terms
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import Correspondence

MAX_CORRESPONDENCES = 48
"""Correspondences that are compared, the most likely first; bounds the time."""

MAX_BY_SCORE = 2
"""Hypotheses for which lines are searched, in addition to that of the names."""


def hypotheses(subject: Subject) -> list[Subject]:
    """The subject under each likely hypothesis; the subject itself if it is identified.

    First that of the names, then those under which the operations compute the most terms.
    """
    if subject.explained:
        return [subject]
    scored: list[tuple[int, Subject]] = []
    correspondences = _correspondences(subject)
    for convention in _conventions(subject):
        called = replace(subject, convention=convention)
        bench = Bench(called)
        signatures = _signatures([each for op in bench.operations for each in op.results])
        experiment = called.experiment(bench.base)
        considered = [replace(called, correspondence=each) for each in correspondences]
        scored += [
            (_score(replace(experiment, subject=each), signatures), each) for each in considered
        ]
    scored.sort(key=lambda pair: -pair[0])  # stable: the most likely stays first
    best = [each for _, each in scored[:MAX_BY_SCORE]]
    likely = [replace(best[0], correspondence=correspondences[0]), *best]
    return [each for n, each in enumerate(likely) if each not in likely[:n]]


def _conventions(subject: Subject) -> list[Convention]:
    module = subject.construct()
    with torch.no_grad(), default_dtype(subject.precision):
        try:
            sets = find_trials(module, subject.kind, subject.precision)
        except CannotCheckError:
            return [subject.convention]
    return [trial.convention for each in sets for trial in each.trials] or [subject.convention]


def _correspondences(subject: Subject) -> Sequence[Correspondence]:
    if subject.loaded is not None:
        return [subject.correspondence]
    module = subject.construct()
    found = candidates(module, subject.kind, subject.correspondence.extra)
    return found[:MAX_CORRESPONDENCES] or [subject.correspondence]


def _score(experiment: Experiment, signatures: Tensor) -> int:
    """How many terms of torch.nn's equations the module's operations compute."""
    subject = experiment.subject
    weights = subject.weights(experiment.parameters)
    with torch.no_grad():
        terms = candidates_of(compute_terms(subject.kind, weights, experiment.probe))
    values = [t.values[0] if t.values.dim() == 3 else t.values for t in terms]
    wanted = GROUPS * _signatures([*values, *(t.values for t in terms)])
    difference = (wanted[:, None] - signatures[None]).abs().amax(-1)
    scale = 1 + wanted.abs().amax(-1)
    return int(((difference / scale[:, None]) < subject.precision.match).any(1).sum())


def _signatures(tensors: Sequence[Tensor]) -> Tensor:
    """Two sums of each tensor, which do not depend on its layout: (tensors, 2), in any order."""
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for each in tensors:
        if each.is_floating_point():
            by_shape.setdefault(each.shape, []).append(each.double())
    found = [torch.zeros(0, 2, dtype=torch.float64)]
    for same in by_shape.values():
        rows = torch.stack(same).reshape(len(same), -1)
        found.append(torch.stack([rows.sum(1), rows.square().sum(1)], 1))
    return torch.cat(found)
