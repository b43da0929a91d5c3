"""Find the statement of the learner's function that is wrong.

The learner's function and the solution run on the same random inputs while the value of every
statement is recorded (``probes``). A statement whose values the solution does not have is suspect.
It is proved to be wrong by an intervention: with the solution's values in its place, the function
returns what it should.
"""

import ast
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from types import ModuleType
from typing import Any

import torch

from exercises.checking.attempt import Attempt, Failure
from exercises.checking.comparison import as_leaf, same_values, tensors_of
from exercises.checking.events import Group, by_statement, same_shapes
from exercises.checking.explain import (
    computed_at,
    difference_between,
    difference_of_output,
    equation_at,
    error_at,
    inputs_changed,
    line_of_definition,
    loop_runs,
    same_equation,
)
from exercises.checking.matching import Matching, same_functions
from exercises.checking.probes import ProbedFile, Recording, Replacements, Site
from exercises.checking.returned import (
    assignments_of_wrong_parts,
    equations_of_wrong_parts,
    returns_variables,
)
from exercises.checking.several_calls import once_a_gate, once_a_sample
from exercises.checking.symbols import in_symbols

MAX_SECONDS = 2.0
"""The search for the line stops after this time and names the first suspect statement."""

MAX_PERMUTED = 4
"""Every order is tried for a statement with at most this many variables: ``i, f, g, o = ...``."""

Arguments = tuple[Any, ...]
Call = Callable[..., Any]


class Search:
    """The comparison of two functions on one set of arguments, and the search for the line."""

    def __init__(
        self, attempt: Attempt, call: Call, arguments: Arguments, name: str, gradients: bool
    ) -> None:
        self.given_functions = same_functions(attempt)
        self.learner = ProbedFile(attempt.module, self.given_functions)
        self.solution = ProbedFile(attempt.solution, self.given_functions, partial_sums=True)
        self.call, self.arguments, self.name = call, arguments, name
        self.deadline = time.monotonic() + MAX_SECONDS
        self.right = self._record(self.solution, gradients=gradients)
        if self.right.error is not None:
            raise self.right.error
        self.observed = self._record(self.learner, gradients=gradients)
        self.matching = Matching(self.learner, self.solution, self.observed, self.right)

    def raise_if_different(self) -> None:
        """Raise ``Failure`` with the first wrong line."""
        self._check_inputs_are_unchanged()
        if self._is_right(self.observed):
            return
        suspects = self.matching.suspects(self.observed)
        if (cutting := self._cutting_gradients(suspects)) is not None:
            raise self._failure(*cutting, proved=False)
        found = self._single(suspects) or self._several(with_return=False)
        unlike = self.matching.unlike_solution(suspects)
        if unlike and found is not None and found[0].statement in self.matching.given:
            raise self._failure(*unlike[0], proved=False)
        loops = self._loops_with_wrong_count(suspects)
        if loops and (found is None or found[0].name == "return"):
            raise self._failure(*loops[0], proved=False)
        if found is None and not unlike:
            found = self._several(with_return=True)
        if found is None:
            raise self._unproved([site for group in suspects for site in group])
        if (behind := self._behind_return(found, suspects)) is not None:
            raise self._failure(*behind, proved=False)
        raise self._failure(*found, proved=True)

    def _behind_return(
        self, found: tuple[Site, Site], suspects: Sequence[Group]
    ) -> tuple[Site, Site] | None:
        """For ``return h, c`` with a wrong part: the statement that computes it.

        Only if its values are the first wrong ones: otherwise they may follow from others.
        """
        if {site.name for site in found} != {"return"}:
            return None
        behind = assignments_of_wrong_parts(
            found, self.observed.by_site(), self.matching.vocabulary
        )
        return next((pair for pair in behind if pair[0] in suspects[0]), None)

    def _check_inputs_are_unchanged(self) -> None:
        before = None
        for event in self.observed.events:
            if before is not None and event.versions > before:
                raise inputs_changed(event.site)
            before = event.versions

    def _record(
        self,
        file: ProbedFile,
        replacements: Replacements | None = None,
        gradients: bool = False,
    ) -> Recording:
        """One run with fresh copies of the arguments."""
        arguments = [as_leaf(each) for each in self.arguments]

        def run(module: ModuleType) -> Any:
            torch.manual_seed(0)
            return self.call(module, *arguments)

        return file.record(run, tensors_of(arguments), replacements, gradients)

    def _with(self, replaced: dict[Site, Site]) -> Recording:
        """The learner's run with the values of solution sites in place of some sites' values."""
        values = {s: [e.value for e in self.matching.vocabulary[r]] for s, r in replaced.items()}
        return self._record(self.learner, values)

    def _is_right(self, recording: Recording) -> bool:
        """Whether the output is right; its gradients too, if no value was replaced."""
        if recording.error is not None or not same_values(recording.output, self.right.output):
            return False
        is_original = recording is self.observed
        return not is_original or same_values(recording.gradients, self.right.gradients)

    def _cutting_gradients(self, suspects: Sequence[Group]) -> tuple[Site, Site] | None:
        """If only gradients are wrong: the first statement with the right value."""
        if not same_values(self.observed.output, self.right.output):
            return None
        sites = self.observed.by_site()
        for site in (site for group in suspects for site in group):
            for right_site, right in self.matching.statements.items():
                pairs = list(zip(sites[site], right, strict=False))
                is_counterpart = (site.name == "return") == (right_site.name == "return")
                same_count = len(right) == len(sites[site])
                if (
                    is_counterpart
                    and same_count
                    and all(same_values(a.value, b.value) for a, b in pairs)
                ):
                    return site, right_site
        return None

    def _single(self, suspects: Sequence[Group]) -> tuple[Site, Site] | None:
        """The first statement that makes everything right when its values are replaced.

        Statements that the solution has too come last, and so does ``return``, which every
        mistake reaches.
        """
        written = [group for group in suspects if group[0].statement not in self.matching.given]
        ordered = [*written, *(group for group in suspects if group not in written)]
        if len(suspects) > 1:
            ordered = [group for group in ordered if not self.matching.is_result(group[0])]
        elif suspects and not returns_variables(suspects[0][0]):
            ordered = [*self.matching.unnamed(), *ordered]
        partial = [group for group in ordered if self.matching.is_partial_sum(group[0])]
        # A part of a sum may be right and lack another part, which a later statement adds. Only if
        # no other statement is wrong, it is taken for the wrong part; then rather the last one.
        attempts = [(group, self.matching.sums if group in partial else []) for group in ordered]
        attempts += [(group, []) for group in reversed(partial)]
        for group, without in attempts:
            for right in self._counterparts(group, without):
                pairs = list(zip(group, right, strict=True))
                if self._is_right(self._with(dict(pairs))):
                    return next(filter(self._differ, pairs), pairs[0])
        return None

    def _differ(self, pair: tuple[Site, Site]) -> bool:
        ours = self.observed.by_site()[pair[0]]
        return not self.matching.same_events(ours, self.matching.vocabulary[pair[1]])

    def _counterparts(self, group: Group, without: Sequence[Site]) -> Iterator[Group]:
        """The solution's sites whose values may belong here, those of the same names first."""
        named = tuple(each for site in group for each in self.matching.namesakes(site)[:1])
        if len(named) == len(group):
            yield named
        events = self.observed.by_site()
        if not self.matching.is_in_solution(group[0]):
            yield from once_a_gate(self.matching, events[group[0]])
        if group[0].name.endswith(".append") and not self.matching.namesakes(group[0]):
            yield from once_a_sample(self.matching, events[group[0]])
        if group[0].name == "return":
            return
        for right in by_statement(self.matching.vocabulary):
            if right[0] in without:
                continue
            fits = len(right) == len(group) and right != named and right[0].name != "return"
            if not fits:
                continue
            for arranged in permutations(right) if len(right) <= MAX_PERMUTED else (right,):
                pairs = zip(group, arranged, strict=True)
                if all(same_shapes(events[a], self.matching.vocabulary[b]) for a, b in pairs):
                    if time.monotonic() > self.deadline:
                        return
                    yield arranged

    def _several(self, with_return: bool) -> tuple[Site, Site] | None:
        """The first of several wrong statements that together make everything right."""
        replaced: dict[Site, Site] = {}
        recording = self.observed
        for _ in self.learner.sites:
            suspects = [
                [
                    (site, self.matching.namesakes(site)[0])
                    for site in group
                    if self.matching.namesakes(site)
                ]
                for group in self.matching.suspects(recording, replaced)
                if with_return or group[0].name != "return"
            ]
            pairs = next(filter(None, suspects), None)
            if pairs is None or time.monotonic() > self.deadline:
                return None
            replaced |= dict(pairs)
            recording = self._with(replaced)
            if self._is_right(recording):
                return self._first_needed(replaced)
        return None

    def _first_needed(self, replaced: dict[Site, Site]) -> tuple[Site, Site]:
        """The first site that is still needed when all others are replaced."""
        needed = dict(replaced)
        for site in replaced:
            fewer = {s: r for s, r in needed.items() if s != site}
            if fewer and self._is_right(self._with(fewer)):
                needed = fewer
        return next(iter(needed.items()))

    def _equation_for(self, source: str) -> str:
        """The equation of the solution's statement with the same target, or "".

        Of several, the one that calls the same functions: in a loop over time, not before it.
        """
        target, _, code = source.partition("=")
        sites = [site for site in self.solution.sites if site.name == target.strip()]
        sites.sort(key=lambda site: not site.called & set(re.findall(r"(\w+)\(", code)))
        return next((equation_at(self.solution.text, site) for site in sites), "")

    def _loops_with_wrong_count(self, suspects: Sequence[Group]) -> list[tuple[Site, Site]]:
        if self.observed.error is not None:
            return []
        sites = self.observed.by_site()
        return [
            (site, right)
            for site in (site for group in suspects for site in group if site.is_loop)
            for right in self.matching.namesakes(site)
            if len(sites[site]) != len(self.matching.vocabulary[right])
        ]

    def _failure(self, site: Site, right_site: Site, proved: bool) -> Failure:
        observed = self.observed.by_site()[site]
        right = self.matching.vocabulary[right_site]
        computes = self._holds_other(site, right_site) or computed_at(site)
        expected = equation_at(self.solution.text, right_site)
        if site.name == right_site.name == "return":
            sites = self.observed.by_site(), self.matching.vocabulary
            pair = site, right_site
            expected = equations_of_wrong_parts(self.solution.text, pair, *sites) or expected
        if same_equation(computes, expected) and (operand := self._wrong_operand(site)):
            return self._failure(*operand, proved=False)
        failure = Failure(
            difference_between(site, observed, right),
            line=site.line,
            source=site.source,
            computes=computes,
            expected=expected,
            proved=proved,
        )
        if not proved and not site.is_loop and (loop := self._loop_around(site, len(right))):
            failure.line, failure.source, failure.computes = loop.line, loop.source, ""
            failure.message = loop_runs(len(observed), len(right))
        return failure

    def _wrong_operand(self, site: Site) -> tuple[Site, Site] | None:
        """For a right formula with a wrong value: the statement that has computed the value."""
        names = {
            each.id
            for each in ast.walk(site.expression or ast.Pass())
            if isinstance(each, ast.Name)
        }
        sites = self.observed.by_site()
        before = [each for each in sites if each.line < site.line and each.name in names]
        for operand in reversed(before):
            right = self.matching.namesakes(operand)[:1]
            if right and not self.matching.same_events(
                sites[operand], self.matching.vocabulary[right[0]]
            ):
                return operand, right[0]
        return None

    def _loop_around(self, site: Site, expected: int) -> Site | None:
        """The loop that runs too often or not often enough for a statement in it, or None."""
        sites = self.observed.by_site()
        count = len(sites[site])
        loops = [
            each
            for each in sites
            if each.is_loop and each.function == site.function and each.line < site.line
        ]
        inner = loops[-1] if loops else None
        return inner if inner and len(sites[inner]) == count != expected else None

    def _holds_other(self, site: Site, right_site: Site) -> str:
        """For ``a, b = ...`` in a wrong order: the name whose values this one holds."""
        events = self.observed.by_site()[site]
        for other, right in self.matching.vocabulary.items():
            is_same_statement = (other.function, other.line) == (
                right_site.function,
                right_site.line,
            )
            if (
                is_same_statement
                and other != right_site
                and self.matching.same_events(events, right)
            ):
                return in_symbols(f"{site.name} = {other.name}")
        return ""

    def _unproved(self, suspects: Sequence[Site]) -> Failure:
        """Without a proof: the exception's line, a loop, or the first statement that differs."""
        unlike = self.matching.unlike_solution([tuple(suspects)])
        named = [*unlike, *((s, r) for s in suspects for r in self.matching.namesakes(s)[:1])]
        is_of_autograd = re.search("grad|differentiated", str(self.observed.error))
        is_explained = unlike or (named and is_of_autograd)
        if self.observed.error is not None and not is_explained:
            failure = error_at(self.observed.error, self.learner.path, self.given_functions)
            failure.expected = failure.expected or self._equation_for(failure.source)
            return failure
        if named:
            return self._failure(*named[0], proved=False)
        if suspects:
            expected = f"its values are not in the equations of {self.name}"
            return Failure(expected, line=suspects[0].line, source=suspects[0].source)
        difference = difference_of_output(self.observed.output, self.right.output)
        message = f"{self.name} {difference}"
        return Failure(message, line=line_of_definition(self.learner.text, self.name))
