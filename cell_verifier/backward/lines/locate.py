"""Locate the wrong lines of a backward pass: replace a value, and see whether that fixes it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from cell_verifier.backward.layout import Sizes
from cell_verifier.backward.lines.bench import Bench, Replacements, observed_copy
from cell_verifier.backward.lines.instrument import Site
from cell_verifier.backward.lines.slots import (
    Choice,
    joint_choices,
    single_choices,
    slots_of,
)
from cell_verifier.backward.lines.terms import (
    GradientTerm,
    ancestors_of,
    forward_terms,
    terms_of,
)
from cell_verifier.backward.subject import Experiment, Subject
from cell_verifier.localisation.location import Location
from cell_verifier.localisation.source import statement_at

STEPS, PROOF_STEPS = 2, 5
"""The number of time steps in the search, which differs from every number of gates, so that a count
of values shows which are computed once per step; and that in the proof."""

MAX_SECONDS = 3.0
"""CPU time after which the search ends; a usual backward pass takes a few tenths of a second."""

MAX_LINES = 4
"""Wrong lines that are searched together."""

RIGHT_ORDER = "for t in reversed(range(T))"


@dataclass(frozen=True)
class Proof:
    """A replacement that fixes gradients.

    Attributes:
        choice: what is replaced, and by which terms.
        is_on_the_way: whether the user's value is a right term from which that one is computed.
        is_a_term: whether it is any right term.
    """

    choice: Choice
    is_on_the_way: bool
    is_a_term: bool

    @property
    def form(self) -> str:
        return self.choice[0][0].site.form


def locate(
    subject: Subject,
    sizes: Sequence[Sizes],
    changed: frozenset[str] = frozenset(),
) -> tuple[Location, ...]:
    """The wrong statements of the backward pass, proved by an intervention; empty if none is found.

    Args:
        sizes: for which the code may run, the preferred ones first.
        changed: names of the terms that are tried before all others.

    Raises:
        NoSourceError: the source of the backward pass cannot be read.
    """
    observed, observer = observed_copy(subject)
    for each in sizes:
        bench = Bench(Experiment(observed, replace(each, time=STEPS), seed=20), observer)
        try:
            gradients = bench.record({})
        except Exception:  # the code does not run with these sizes
            continue
        if bench.has_right_shapes(gradients):
            return _Search(bench).find(changed)
    return ()


class _Search:
    """The search for the wrong statements in one recorded run."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.is_step = bench.experiment.subject.is_step
        self.steps = 1 if self.is_step else bench.experiment.sizes.time
        self.terms = terms_of(bench.experiment)
        self.deadline = time.process_time() + MAX_SECONDS
        self.sites = bench.observer.copies.sites
        self.places = list(bench.values)
        self.ancestors = ancestors_of(bench.experiment.subject.layout.variant)

    def find(self, changed: frozenset[str]) -> tuple[Location, ...]:
        """The wrong statements; empty if none can be proved."""
        likely = [term for term in self.terms if term.name in changed]
        others = [term for term in self.terms if term.name not in changed]
        single = _most_likely(self._proofs(likely))
        several: tuple[Choice, ...] = ()
        if single is None:
            if order := self._wrong_order():
                return order
            several = self._several(likely, only_wrong_values=True)
            several = several or self._several(likely, only_wrong_values=False)
        for terms in (others, forward_terms(self.bench.experiment)):
            if single is None and not several:
                single = _most_likely(self._proofs(terms))
        if single is not None and single.form == "move":
            several = self._before(single)
        return _locations(several or (() if single is None else (single.choice,)))

    def _before(self, joined: Proof) -> tuple[Choice, ...]:
        """Wrong statements before the one that only joins values; empty if its values are right."""
        slots = slots_of(self.bench.values, self.sites, self.steps)
        for choice in joint_choices(slots, forward_terms(self.bench.experiment)):
            if self._fixes((choice,)) and self._rank(choice) < self._rank(joined.choice):
                return (choice,)
        several = self._several(self.terms, only_wrong_values=True)
        is_before = all(self._rank(each) < self._rank(joined.choice) for each in several)
        return several if is_before else ()

    def _fixes(self, choices: Sequence[Choice]) -> bool:
        """Whether the replacements make all gradients right, on another sequence too."""
        right = self.bench.share_of_right(_together(choices, self.steps))
        return right == 1 and self._share_on_another(choices) == 1

    def _rank(self, choice: Choice) -> int:
        """The position of a place in the order of execution."""
        return self.places.index(choice[0][0].key)

    def _proofs(self, terms: Sequence[GradientTerm]) -> Iterator[Proof]:
        """Every replacement that makes all gradients right, in order of execution."""
        slots = slots_of(self.bench.values, self.sites, self.steps)
        for choices in (single_choices(slots, terms), joint_choices(slots, terms)):
            for choice in choices:
                if time.process_time() > self.deadline:
                    return
                if self._fixes((choice,)):
                    yield self._proof(choice, _replacements(choice, self.steps))

    def _proof(self, choice: Choice, replacements: Replacements) -> Proof:
        """With what the user's code computes at this place where everything else is right."""
        if len(choice) > 1:
            return Proof(choice, is_on_the_way=False, is_a_term=False)
        ((slot, wanted),) = choice
        values = self.bench.values
        self.bench.record(replacements)
        now = next(
            each
            for each in slots_of(self.bench.values, self.sites, self.steps)
            if (each.key, each.offset) == (slot.key, slot.offset)
        )
        self.bench.values = values
        computed = [
            term
            for term in self.terms
            if (wanted.is_part or not term.is_part) and now.computes(term)
        ]
        known = self.ancestors[wanted.name]
        return Proof(choice, any(term.name in known for term in computed), bool(computed))

    def _several(
        self, terms: Sequence[GradientTerm], *, only_wrong_values: bool
    ) -> tuple[Choice, ...]:
        """Replacements one after another, each of which makes more gradients right.

        Args:
            only_wrong_values: whether an operation that computes a right term is left alone.
        """
        done: list[Choice] = []
        right = self.bench.share_of_right({})
        while right < 1 and len(done) < MAX_LINES:
            self.bench.record(_together(done, self.steps))
            right, best = self._best(terms, done, right, only_wrong_values)
            chosen = _most_likely(iter(best))
            if chosen is None:
                return ()
            done.append(chosen.choice)
        return tuple(done) if done and self._fixes(done) else ()

    def _best(
        self,
        terms: Sequence[GradientTerm],
        done: Sequence[Choice],
        before: float,
        only_wrong_values: bool,
    ) -> tuple[float, list[Proof]]:
        """The replacements with the largest share of right elements, if it is more than before."""
        best: list[Proof] = []
        fixed = _together(done, self.steps)
        elsewhere = self._share_on_another(done)
        slots = slots_of(self.bench.values, self.sites, self.steps)
        for choice in single_choices(slots, terms):
            if time.process_time() > self.deadline:
                break
            slot = choice[0][0]
            if slot.site.form == "move":
                continue
            replaced = {**fixed, **_replacements(choice, self.steps)}
            share = self.bench.share_of_right(replaced)
            if share < before or (share == before and not best):
                continue
            if self._share_on_another((*done, choice)) <= elsewhere:
                continue
            proof = self._proof(choice, replaced)
            reads_a_wrong_value = proof.form == "return" and not proof.is_a_term
            computes_well = proof.is_on_the_way and proof.form != "copy"
            if only_wrong_values and (reads_a_wrong_value or computes_well):
                continue
            best = [*best, proof] if share == before else [proof]
            before = share
        return before, best

    def _wrong_order(self) -> tuple[Location, ...]:
        """The header of a loop that should run the other way round, or ()."""
        for key in self.bench.values:
            site = self.sites[key[0]]
            turned = {(key, 0): torch.zeros(())}
            if site.form == "order" and self.bench.share_of_right(turned) == 1:
                return (_at(site, RIGHT_ORDER),)
        return ()

    @cached_property
    def _other(self) -> tuple[Bench, dict[tuple[str, str], GradientTerm]]:
        """The same code on another, longer sequence, and the terms by name and equation."""
        first = self.bench.experiment
        longer = replace(first, sizes=replace(first.sizes, time=PROOF_STEPS), seed=31)
        terms = (*forward_terms(longer), *terms_of(longer))
        return Bench(longer, self.bench.observer), {(t.name, t.equation): t for t in terms}

    def _share_on_another(self, choices: Sequence[Choice]) -> float:
        """The share of right elements that the same replacements give on another sequence."""
        bench, terms = self._other
        steps = 1 if self.is_step else PROOF_STEPS
        replacements: Replacements = {}
        for choice in choices:
            own = tuple((slot, terms[term.name, term.equation]) for slot, term in choice)
            replacements = {**replacements, **_replacements(own, steps)}
        return bench.share_of_right(replacements)


def _replacements(choice: Choice, steps: int) -> Replacements:
    return {
        place: value
        for slot, term in choice
        for place, value in slot.replacements(term, steps).items()
    }


def _together(choices: Sequence[Choice], steps: int) -> Replacements:
    found: Replacements = {}
    for choice in choices:
        found = {**found, **_replacements(choice, steps)}
    return found


COPIES = ("copy", "return")


def _most_likely(proofs: Iterator[Proof]) -> Proof | None:
    """The first place that does not compute a right term, or an earlier one that it reads.

    In ``daf = df`` the value is right for ``df`` and not yet what ``daf`` should be: that line is
    the wrong one, and neither the one that computes ``df`` nor one that reads ``daf``.
    """
    before: list[Proof] = []
    for proof in proofs:
        if proof.is_on_the_way:
            before.append(proof)
            continue
        if proof.is_a_term:  # right, and returned in the place of another one
            returned = [each for each in proofs if each.form == "return" and each.is_a_term]
            return returned[0] if returned else proof
        copied = [each for each in before if each.form == "copy"]
        if copied:
            return copied[0]
        return before[-1] if before and proof.form in ("move", *COPIES) else proof
    copied = [each for form in COPIES for each in before if each.form == form]
    return next(iter(copied or before[-1:]), None)


def _locations(choices: Sequence[Choice]) -> tuple[Location, ...]:
    """One location for each statement, in the order of the file."""
    expected: dict[Site, list[str]] = {}
    for choice in choices:
        site = replace(choice[0][0].site, form="")
        expected.setdefault(site, []).extend(term.equation for _, term in choice)
    ordered = sorted(expected.items(), key=lambda each: (each[0].file, each[0].line))
    return tuple(_at(site, "; ".join(equations)) for site, equations in ordered)


def _at(site: Site, expected: str) -> Location:
    statement = statement_at(site.file, site.line)
    return Location(
        site.file, statement.line, statement.end_line, statement.text, "", expected, proved=True
    )
