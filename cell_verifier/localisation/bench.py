"""Run the user's module with interventions, many candidates at once along the batch axis."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from cell_verifier.calling.construct import default_dtype
from cell_verifier.identification.subject import Subject
from cell_verifier.localisation.recorder import Interventions, Operation, run
from cell_verifier.localisation.slots import SlotGroup, interventions_for
from cell_verifier.localisation.terms import Term, Terms, compute_terms, in_order
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult

STEPS = 5
"""Length of the sequence: a prime that differs from every size of the module and from the number
of gates, so that a count of operations shows which of them run once per time step."""

SAMPLES = 2
"""Samples per candidate."""

PROOF_SEEDS = (12, 13)
"""Further random inputs and states on which an intervention must give torch.nn's values."""

GROUPS = 64
"""Candidates per run. The batch is then larger than any other axis."""

Candidate = tuple[Term, ...]
"""One term for each slot of a group."""


@dataclass(frozen=True)
class Bench:
    """The user's module, a probe and torch.nn's values for it.

    Attributes:
        subject: the user's module and its correspondence.
        seed: of the probe.
        deadline: when the search stops, by ``time.thread_time()``.
        before: interventions that every run makes, for a module with another mistake.
        compared: the names of what is compared; () for everything.
    """

    subject: Subject
    seed: int = 11
    deadline: float = math.inf
    before: tuple[tuple[SlotGroup, Candidate], ...] = ()
    compared: tuple[str, ...] = ()

    @cached_property
    def module(self) -> nn.Module:
        """A module of the user's with the random test weights."""
        return self.subject.construct()

    @cached_property
    def with_other_inputs(self) -> "tuple[Bench, ...]":
        """The same module with the further inputs and states of a proof."""
        return tuple(replace(self, seed=seed) for seed in PROOF_SEEDS)

    @cached_property
    def base(self) -> Probe:
        """The probe of one candidate."""
        return self.subject.probe(time=STEPS, batch=SAMPLES, seed=self.seed)

    @cached_property
    def probe(self) -> Probe:
        """The same samples for every candidate."""

        def repeat(part: Tensor) -> Tensor:
            return torch.cat([part] * GROUPS, dim=-2)

        return Probe(repeat(self.base.x), tuple(map(repeat, self.base.state)))

    @cached_property
    def terms(self) -> Terms:
        experiment = self.subject.experiment(self.base)
        with torch.no_grad():
            weights = self.subject.weights(experiment.parameters)
            return compute_terms(self.subject.kind, weights, self.base)

    @cached_property
    def candidates(self) -> list[Term]:
        """The terms by which a result may be replaced."""
        return candidates_of(self.terms)

    @cached_property
    def by_name(self) -> dict[str, Term]:
        """The candidates by name."""
        return {term.name: term for term in self.candidates}

    @cached_property
    def expected(self) -> RunResult:
        """torch.nn's own values."""
        with torch.no_grad():
            return self.subject.experiment(self.base).run_torch()

    @cached_property
    def formulas(self) -> dict[object, str]:
        """The formula of each finding for which it was searched."""
        return {}

    @cached_property
    def operations(self) -> list[Operation]:
        """The operations of a run; empty if the module raises."""
        return self._run(Interventions(), record=True)[1]

    def operations_after(self, group: SlotGroup, candidate: Candidate) -> list[Operation]:
        """The operations, before any replacement of their results, of a run with a proof."""
        return self._run(self._intervention(group, candidate), record=True)[1]

    def successes(self, group: SlotGroup, batch: Sequence[Candidate]) -> list[bool]:
        """For each of at most ``GROUPS`` candidates, whether the module gives torch.nn's values."""
        padded = [*batch, *[batch[0]] * (GROUPS - len(batch))]
        interventions = _in_batch(group, padded)
        observed: RunResult = {}
        if interventions is not None:
            observed, _ = self._run(interventions, record=False)
        return self.agreement(observed)[: len(batch)] if observed else [False] * len(batch)

    def agreement(self, observed: RunResult) -> list[bool]:
        """For each candidate, whether everything observed equals torch.nn's."""
        agrees = torch.ones(GROUPS, dtype=torch.bool)
        for name in self.compared or observed:
            part = observed[name]
            agrees &= self.agreement_of(name, part)
        return list(map(bool, agrees))

    def agreement_of(self, name: str, part: Tensor) -> Tensor:
        """For each candidate, whether one observed tensor equals torch.nn's."""
        wanted = self.expected[name].unsqueeze(-3)  # (..., 1, SAMPLES, width)
        if part.size(-2) != GROUPS * SAMPLES:
            return torch.zeros(GROUPS, dtype=torch.bool)
        got = part.unflatten(-2, (GROUPS, SAMPLES))
        if got.shape[:-3] != wanted.shape[:-3] or got.shape[-1] != wanted.shape[-1]:
            return torch.zeros(GROUPS, dtype=torch.bool)
        difference = (got - wanted).abs().nan_to_num(nan=torch.inf).amax((0, -2, -1))
        tolerance = self.subject.precision.match * max(1.0, float(wanted.abs().max()))
        agrees: Tensor = difference <= tolerance
        return agrees

    def is_right(self) -> bool:
        """Whether the module gives torch.nn's values without an intervention."""
        observed, _ = self._run(Interventions(), record=False)
        return bool(observed) and all(self.agreement(observed))

    def is_proof(self, group: SlotGroup, candidate: Candidate) -> bool:
        """Whether the module gives torch.nn's values, in every sample, with this intervention."""
        observed, _ = self._run(self._intervention(group, candidate), record=False)
        return bool(observed) and all(self.agreement(observed))

    def _intervention(self, group: SlotGroup, candidate: Candidate) -> Interventions:
        return _in_batch(group, [self.own(candidate)] * GROUPS) or Interventions()

    def own(self, candidate: Candidate) -> Candidate:
        """The same terms with the values of this bench."""
        return tuple(in_order(self.by_name[term.name], term.order) for term in candidate)

    def _run(
        self, interventions: Interventions, *, record: bool
    ) -> tuple[RunResult, list[Operation]]:
        for group, candidate in self.before:
            interventions = self._intervention(group, candidate).then(interventions)
        try:
            with default_dtype(self.subject.precision):
                return run(
                    self.module, self.subject.convention, self.probe, interventions, record=record
                )
        except Exception:  # an intervention can make the user's code raise
            return {}, []


def candidates_of(terms: Terms) -> list[Term]:
    """Every term, stacked ones included, and the state before the first and after the last step."""
    per_step = [*terms.all, *terms.stacked]
    ends = []
    for term in terms.single:
        if term.name in ("h", "c"):
            ends.append(Term(f"{term.name}_0", f"{term.name}_0", term.values[0]))
        if term.name in ("h'", "c'"):
            letter = term.name[0]
            ends.append(Term(f"{letter}_T", f"{letter}_T, the final state", term.values[-1]))
    return [*per_step, *ends]


def _in_batch(group: SlotGroup, batch: Sequence[Candidate]) -> Interventions | None:
    """Replace the group's slots, in each part of the batch by another candidate."""
    return interventions_for(group, [_values_of(batch, n) for n in range(len(group.slots))])


def _values_of(batch: Sequence[Candidate], slot: int) -> Callable[[int | None], Tensor]:
    """The batch's values for one slot, as a function of the time step (None: all of them)."""
    whole = torch.cat([candidate[slot].values for candidate in batch], dim=-2)
    return lambda step: whole if step is None or whole.dim() == 2 else whole[step]
