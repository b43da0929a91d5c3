"""Search the operation whose result, replaced by a term of torch.nn's, makes the module right."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from cell_verifier.localisation.bench import (
    GROUPS,
    SAMPLES,
    STEPS,
    Bench,
    Candidate,
)
from cell_verifier.localisation.candidates import candidates_for
from cell_verifier.localisation.formulas import formula_of
from cell_verifier.localisation.recorder import RETURN
from cell_verifier.localisation.slots import (
    Slot,
    SlotGroup,
    arrange,
    is_return,
    slot_groups,
)
from cell_verifier.localisation.source import assigned_names, copying_line
from cell_verifier.localisation.terms import Term
from cell_verifier.parameters.names import variable_hint

MAX_LAST_OPERATIONS = 3
"""Operations that are tried as the one that returns h'; bounds the time."""


@dataclass(frozen=True, eq=False)
class Finding:
    """An intervention that makes the module equal to torch.nn's.

    Attributes:
        group: what is replaced.
        candidate: by which terms.
        actual: what the operations compute from right inputs: (T, SAMPLES, width) per slot, where
            the layout is known.
        bench: where it is a proof, with another mistake corrected if there is one.
    """

    group: SlotGroup
    candidate: Candidate
    actual: tuple[Tensor | None, ...]
    bench: Bench

    @property
    def only_moves_values(self) -> bool:
        """Whether the operation takes tensors apart or together and computes nothing."""
        return self.group.slots[0].first.name in MOVING

    @property
    def copy_line(self) -> int:
        """The line of a plain assignment of the result to another name, or 0."""
        frame = self.group.frame
        return copying_line(frame.file, frame.line, self.group.slots[0].element)

    @property
    def is_sequence(self) -> bool:
        """Whether a tensor of the whole sequence is replaced."""
        return len(self.group.slots[0].operations) == 1


def find_pair(bench: Bench) -> tuple[Finding, ...]:
    """Two independent mistakes.

    Of a layer, one can be in what it returns: then a part of that is right with the other one
    corrected. Or one is in the computation of h' from right values: with the right h' put in near
    the end of a step, the other mistake is the only one that is left. With that one corrected, the
    first one is searched again.
    """
    for part in _parts_returned(bench):
        first = find_operation(replace(bench, compared=part))
        if first is not None:
            second = find_operation(replace(bench, before=((first.group, first.candidate),)))
            if second is not None:
                return _in_order(first, second)
    for late in _last_operations(bench):
        h = next(term for term in bench.candidates if term.name == "h'")
        first = find_operation(replace(bench, before=((late, (h,)),)))
        if first is None:
            continue
        second = find_operation(replace(bench, before=((first.group, first.candidate),)))
        if second is not None:
            with_second = replace(bench, before=((second.group, second.candidate),))
            first = find_operation(with_second) or first
            return _in_order(first, second)
    return ()


def _in_order(*findings: Finding) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda each: each.group.rank))


def _parts_returned(bench: Bench) -> list[tuple[str, ...]]:
    """The parts of what a layer returns, to be compared alone; of a cell, none."""
    if bench.subject.is_cell:
        return []
    names = [name for name in bench.subject.observed_names() if name in bench.expected]
    some = [part for n in range(1, len(names)) for part in combinations(names, n)]
    return sorted(some, key=lambda part: ("output" in part, -len(part)))


def _last_operations(bench: Bench) -> list[SlotGroup]:
    """The last operations of a time step that can compute h'."""
    groups = [
        group
        for group in slot_groups(bench.operations, STEPS)
        if len(group.slots) == 1
        and len(group.slots[0].operations) == STEPS
        and not group.slots[0].is_argument
        and group.slots[0].first.name not in MOVING
    ]
    return groups[: -MAX_LAST_OPERATIONS - 1 : -1]


def find_operation(bench: Bench) -> Finding | None:
    """The operation that is proved to be wrong and most likely is, or None.

    This is the earliest one that does not compute a needed term. If what it lacks should have been
    computed before it, that earlier line is the wrong one: a plain ``a = b`` in place of an
    operation, a gate without its activation, or the last operation before one that only moves
    values (``chunk``, ``return``).
    """
    doubtful: list[Finding] = []
    for finding in _proved(bench):
        if _is_exculpated(bench, finding):
            doubtful.append(finding)
            continue
        incomplete = [each for each in doubtful if not each.only_moves_values]
        if incomplete and finding.only_moves_values:
            return incomplete[-1]
        copied = [each for each in doubtful if each.copy_line]
        if copied:
            return copied[-1]
        permuted = [each for each in doubtful if _may_be_permuted(bench, each)]
        if permuted and not computes(bench, finding):
            return permuted[-1]
        without_activation = [each for each in doubtful if lacks_activation(bench, each)]
        if without_activation and without_activation[-1].candidate != finding.candidate:
            return without_activation[-1]
        return finding
    computing = [each for each in doubtful if not each.only_moves_values]
    last = computing or doubtful
    return last[-1] if last else None


def _proved(bench: Bench) -> Iterator[Finding]:
    """For each group of slots, in order of execution, the first intervention that is a proof."""
    for group in slot_groups(bench.operations, STEPS):
        if time.thread_time() > bench.deadline:
            return
        finding = find_in_group(bench, group)
        if finding and (not is_return(group) or _returns_terms(bench, finding)):
            yield finding


def find_in_group(bench: Bench, group: SlotGroup) -> Finding | None:
    """The first intervention on a group of slots that is a proof."""
    for candidate in _screened(bench, group):
        if is_proved(bench, group, candidate):
            return Finding(group, candidate, _actual_values(bench, group, candidate), bench)
    return None


def is_proved(bench: Bench, group: SlotGroup, candidate: Candidate) -> bool:
    """Whether the module gives torch.nn's values with an intervention, for further inputs."""
    return all(each.is_proof(group, candidate) for each in bench.with_other_inputs)


def computes(bench: Bench, finding: Finding) -> str:
    """What the operation computes, as a formula, or "" if a part of it is unknown."""
    if finding not in bench.formulas:
        bench.formulas[finding] = _formula(bench, finding)
    return bench.formulas[finding]


def _formula(bench: Bench, finding: Finding) -> str:
    formulas = []
    for actual, term in zip(finding.actual, finding.candidate, strict=True):
        known = term.values.dim() == 3  # not the state before the first or after the last step
        terms = (*bench.terms.all, *bench.terms.stacked)
        found = formula_of(actual, terms) if actual is not None and known else ""
        if not found:
            return ""
        formulas.append(found)
    return ", ".join(formulas)


def lacks_activation(bench: Bench, finding: Finding) -> bool:
    """Whether a pre-activation is computed on the line where the gate should be.

    An operation that only takes a stacked tensor apart does not compute it there.
    """
    (actual, *more), (term, *_) = finding.actual, finding.candidate
    if more or actual is None:
        return False
    before = next((n for n, after in ACTIVATED.items() if term.name in after), "a_" + term.name)
    named = {each.name: each for each in bench.terms.all}
    if before not in named or not equal(actual, named[before].values):
        return False
    return not finding.only_moves_values


ACTIVATED = {"a_n": ("n", "h'")}
"""The candidate of the GRU, and the state of the RNN, from the same pre-activation."""

MOVING = {
    *("chunk", "split", "split_with_sizes", "unbind", "__iter__", "__getitem__", "select"),
    *("narrow", "stack", "cat", "reshape", "view", "unflatten", "flatten", "transpose", "t"),
    *("permute", "squeeze", "unsqueeze", "contiguous", "clone", "to", "__get__", RETURN),
}
"""Operations that compute nothing."""


def _screened(bench: Bench, group: SlotGroup) -> Iterator[Candidate]:
    """The candidates with which the module gives torch.nn's values on the first probe."""
    candidates = candidates_for(bench, group)
    for start in range(0, len(candidates), GROUPS):
        batch = candidates[start : start + GROUPS]
        for candidate, success in zip(batch, bench.successes(group, batch), strict=True):
            if success:
                yield candidate


def _actual_values(
    bench: Bench, group: SlotGroup, candidate: Candidate
) -> tuple[Tensor | None, ...]:
    """What the group's operations compute when everything before them is right."""
    by_index = {each.index: each for each in bench.operations_after(group, candidate)}
    found: list[Tensor | None] = []
    for slot, term in zip(group.slots, candidate, strict=True):
        operations = [by_index.get(each.index) for each in slot.operations]
        if any(each is None for each in operations):
            found.append(None)
            continue
        found.append(_in_term_layout([slot.value_in(each) for each in operations if each], term))
    return tuple(found)


def _in_term_layout(results: list[Tensor], term: Term) -> Tensor | None:
    """The user's tensors as (T, SAMPLES, width): the inverse of ``arrange``."""
    once = len(results) == 1
    shape = term.values.shape if once else term.values.shape[1:]
    whole = (*shape[:-2], GROUPS * SAMPLES, shape[-1])
    size = torch.Size(whole).numel()
    places = arrange(torch.arange(size).reshape(whole), results[0].shape)
    if places is None:
        return None
    restored = []
    for result in results:
        flat = result.new_empty(size)
        flat[places.flatten()] = result.flatten()
        restored.append(flat.reshape(whole)[..., :SAMPLES, :])
    return restored[0] if once else torch.stack(restored)


def _returns_terms(bench: Bench, finding: Finding) -> bool:
    """Whether everything that is returned is a term of torch.nn's, only not the right one."""
    legal = [term.values for term in bench.candidates]
    legal += [step for values in legal if values.dim() == 3 for step in values]
    return all(
        actual is not None and any(equal(actual, values) for values in legal)
        for actual in finding.actual
    )


def _is_exculpated(bench: Bench, finding: Finding) -> bool:
    """Whether the operation computes a term that the module needs and computes nowhere else."""
    first = finding.group.slots[0]
    if first.first.name in ("stack", "cat", RETURN):
        return False
    if first.is_argument:
        return bool(bench.before) and _gives_needed_term(bench, finding)
    if _names_are_of(bench, finding):
        return False
    return all(
        actual is not None and _is_needed(bench, finding, actual, slot)
        for actual, slot in zip(finding.actual, finding.group.slots, strict=True)
    )


def _gives_needed_term(bench: Bench, finding: Finding) -> bool:
    """Whether an operation on a wrong operand computes a term that the module needs.

    With another mistake corrected, an operation that is right can be put in another one's place.
    """
    operations = finding.group.slots[0].operations
    if len(operations[0].results) != 1:
        return False
    term = term_at_first_step(bench, Slot(operations, 0))
    here = {each.index for each in operations}
    return term is not None and not any(
        equal(part, step_of(bench, term.values, part))
        for each in bench.operations
        if each.index not in here and each.name == operations[0].name
        for part in each.results
    )


def _names_are_of(bench: Bench, finding: Finding) -> bool:
    """Whether the parts of a tuple are assigned to variables that are named after its right gates.

    ``i, f, o, g = a.chunk(4, -1)`` is wrong, and ``i, f, g, o = ...`` with another mistake is not.
    """
    return len(finding.candidate) > 1 and _are_named_after(bench, finding, finding.candidate)


def _may_be_permuted(bench: Bench, finding: Finding) -> bool:
    """Whether several parts are exchanged; not if their variables are named after these parts."""
    if len(finding.group.slots) < 2:
        return False
    found = [
        next((term for term in bench.terms.all if _are_equal(actual, term)), None)
        for actual in finding.actual
    ]
    known = tuple(term for term in found if term is not None)
    return not _are_named_after(bench, finding, known)


def _are_equal(actual: Tensor | None, term: Term) -> bool:
    return actual is not None and equal(actual, term.values)


def _are_named_after(bench: Bench, finding: Finding, terms: Sequence[Term]) -> bool:
    """Whether the names to which the parts of a tuple are assigned are those of these gates."""
    kind, frame = bench.subject.kind, finding.group.frame
    names = assigned_names(frame.file, frame.line)
    gates = [
        kind.gates[kind.letters.index(letter)]
        for letter in map(_gate_letter, terms)
        if letter in kind.letters
    ]
    return len(gates) == len(names) and all(map(variable_hint, names, gates))


def _gate_letter(term: Term) -> str:
    """The letter of the gate of a term: ``a_f``, ``f``, ``W_if x + b_if``; or another letter."""
    return term.name[3] if term.name.startswith("W_") else term.name[-1]


def _is_needed(bench: Bench, finding: Finding, actual: Tensor, slot: Slot) -> bool:
    if not any(equal(actual, term.values) for term in bench.candidates):
        return False
    here = {each.index for each in slot.operations}
    for each in bench.operations_after(finding.group, finding.candidate):
        if each.index in here or each.name != slot.first.name:
            continue
        if any(equal(part, step_of(bench, actual, part)) for part in each.results):
            return False
    return True


def step_of(bench: Bench, actual: Tensor, like: Tensor) -> Tensor | None:
    """The value at the first step in the layout of an operation's result."""
    first = actual[0] if actual.dim() == 3 else actual
    return arrange(torch.cat([first] * GROUPS, dim=-2), like.shape)


def term_at_first_step(bench: Bench, slot: Slot) -> Term | None:
    """The term that an operand has at the first step, where everything before it is right."""
    value = slot.value_in(slot.first)
    for term in bench.terms.all:
        if equal(value, step_of(bench, term.values, value)):
            return term
    return None


def equal(one: Tensor, two: Tensor | None) -> bool:
    return (
        two is not None
        and one.shape == two.shape
        and bool(torch.allclose(one, two, rtol=1e-6, atol=1e-8))
    )
