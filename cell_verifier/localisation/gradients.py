"""Find the operation that stops a gradient, in a module whose outputs are right.

The module runs again with the result of one operation replaced by the equal term of torch.nn's
equations, computed from the same weights, input and state, so that gradients flow through it. If
all gradients then equal torch.nn's, the operation is where the mistake is.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from cell_verifier.backward.of_module import uses_autograd_function
from cell_verifier.calling.construct import default_dtype
from cell_verifier.identification.gradients import Gradients, gradients_of, relative_differences
from cell_verifier.identification.subject import Experiment, Subject
from cell_verifier.localisation.bench import STEPS, candidates_of
from cell_verifier.localisation.recorder import CALL, RETURN, Interventions, Operation
from cell_verifier.localisation.recorder import run as run_with
from cell_verifier.localisation.slots import (
    Slot,
    SlotGroup,
    arrange,
    interventions_for,
    slot_groups,
)
from cell_verifier.localisation.terms import Term, compute_terms, in_order
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult

BATCH = 7
"""Samples: a size that no other axis has."""


@dataclass(frozen=True)
class GradientFinding:
    """The tensors with which replaced every gradient is torch.nn's, and their terms."""

    group: SlotGroup
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class GradientBench:
    """The user's module, a probe whose tensors require gradients, and torch.nn's gradients.

    Attributes:
        before: interventions that every run makes, for a module whose values are wrong too.
    """

    subject: Subject
    seed: int = 11
    before: tuple[tuple[SlotGroup, tuple[Term, ...]], ...] = ()

    @cached_property
    def module(self) -> nn.Module:
        """A module of the user's with the random test weights."""
        return self.subject.construct()

    @cached_property
    def probe(self) -> Probe:
        return self.subject.probe(time=STEPS, batch=BATCH, seed=self.seed).require_grad()

    @cached_property
    def terms(self) -> list[Term]:
        """torch.nn's terms as functions of the module's own parameters and the probe."""
        weights = self.subject.weights(named_parameters(self.module))
        return candidates_of(compute_terms(self.subject.kind, weights, self.probe))

    @cached_property
    def expected(self) -> Gradients:
        experiment = Experiment(self.subject, self.module, self.probe)
        return self._gradients(experiment.run_torch())

    def run(self) -> RunResult:
        """A run without interventions; empty if the module raises."""
        return self._run(Interventions())[0]

    def operations(self) -> list[Operation]:
        return self._run(Interventions(), record=True)[1]

    def is_proof(self, group: SlotGroup, terms: tuple[Term, ...]) -> bool:
        """Whether every gradient is torch.nn's with the terms in the places of the slots."""
        interventions = self._interventions(group, terms)
        if interventions is None:
            return False
        result, _ = self._run(interventions)
        return bool(result) and self.is_right(result)

    def _interventions(self, group: SlotGroup, terms: tuple[Term, ...]) -> Interventions | None:
        by_name = {each.name: each for each in self.terms}
        own = [in_order(by_name[each.name], each.order) for each in terms]
        return interventions_for(group, [_at_step(each.values) for each in own])

    @cached_property
    def corrected(self) -> Interventions:
        """The interventions of ``before``, on this probe."""
        if not self.before:
            return Interventions()
        by_index = {each.index: each for each in self._recorded}
        every = Interventions()
        for group, terms in self.before:
            slots = tuple(
                replace(slot, operations=tuple(by_index[each.index] for each in slot.operations))
                for slot in group.slots
            )
            own = self._interventions(replace(group, slots=slots), terms)
            every = every.then(own or Interventions())
        return every

    @cached_property
    def _recorded(self) -> list[Operation]:
        """The operations of a run without any intervention."""
        with default_dtype(self.subject.precision):
            convention = self.subject.convention
            return run_with(self.module, convention, self.probe, record=True, grad=True)[1]

    def is_right(self, result: RunResult) -> bool:
        """Whether the gradients of a run are torch.nn's."""
        try:
            differences = relative_differences(self._gradients(result), self.expected)
        except RuntimeError:  # a backward pass that raises, as after a change in place
            return False
        return max(differences.values(), default=0.0) <= self.subject.precision.match

    def _gradients(self, result: RunResult) -> Gradients:
        parameters = named_parameters(self.module) if self.subject.loaded is None else {}
        named = {name: result[name] for name in self.subject.observed_names() if name in result}
        found = gradients_of(named, self.probe, parameters)
        taken = self.subject.convention.parts_taken
        unused = [f"state {n}" for n in range(taken, len(self.subject.kind.state))]
        return {name: part for name, part in found.items() if name not in unused}

    def _run(
        self, interventions: Interventions, *, record: bool = False
    ) -> tuple[RunResult, list[Operation]]:
        convention = self.subject.convention
        try:
            interventions = self.corrected.then(interventions)
            with default_dtype(self.subject.precision):
                return run_with(
                    self.module, convention, self.probe, interventions, record=record, grad=True
                )
        except Exception:  # an intervention can make the user's code raise
            return {}, []


def find_gradient_operation(
    subject: Subject,
    deadline: float,
    before: tuple[tuple[SlotGroup, tuple[Term, ...]], ...] = (),
) -> GradientFinding | None:
    """The earliest operation that is proved to stop or change a gradient, or None.

    Args:
        before: interventions with which the module's values are right.
    """
    bench, other = (GradientBench(subject, seed, before) for seed in (11, 12))
    result = bench.run()
    if not result or uses_autograd_function(result.values()):
        return None  # a backward pass written by hand has its own search
    if bench.is_right(result):
        return None
    for group in slot_groups(bench.operations(), STEPS):
        if group.slots[0].first.name in (CALL, RETURN):
            continue  # everything that is returned, with its gradient, is a proof in any module
        if time.thread_time() > deadline:
            return None
        for terms in _equal_terms(bench, group):
            if bench.is_proof(group, terms) and other.is_proof(group, terms):
                return GradientFinding(group, terms)
    return None


def _at_step(values: Tensor) -> Callable[[int | None], Tensor]:
    return lambda step: values if step is None or values.dim() == 2 else values[step]


def _equal_terms(bench: GradientBench, group: SlotGroup) -> Iterator[tuple[Term, ...]]:
    """The terms whose values the slots have already; of several slots, the first of each."""
    found = [[term for term in bench.terms if _has_values(slot, term)] for slot in group.slots]
    if len(found) == 1:
        yield from ((term,) for term in found[0])
    elif all(found):
        yield tuple(terms[0] for terms in found)


def _has_values(slot: Slot, term: Term) -> bool:
    once = len(slot.operations) == 1
    if not once and term.values.dim() == 2:
        return False
    values = [term.values] if once else term.values
    for operation, value in zip(slot.operations, values, strict=False):
        arranged = arrange(value.detach(), slot.shape)
        if arranged is None or not torch.allclose(
            arranged, slot.value_in(operation).to(arranged.dtype), rtol=1e-6, atol=1e-8
        ):
            return False
    return True
