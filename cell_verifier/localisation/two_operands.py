"""Two mistakes whose results meet in one operation, such as the sum of c'."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from cell_verifier.localisation.bench import Bench, Candidate
from cell_verifier.localisation.search import (
    Finding,
    find_operation,
    is_proved,
    term_at_first_step,
)
from cell_verifier.localisation.slots import Slot, SlotGroup
from cell_verifier.localisation.terms import Term

OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "mul": torch.mul,
    "sub": torch.sub,
}
"""Operations of two operands, by the end of their names: ``add``, ``__iadd__``, ``add_``."""

OPERANDS = {
    "lerp": (("n", "h", "z"), ("h", "n", "1 - z")),
    "addcmul": (("f ⊙ c", "i", "g"), ("i ⊙ g", "f", "c"), ("(1 - z) ⊙ n", "z", "h")),
}
"""Terms of operations with three operands."""


def mistakes_in_operands(bench: Bench, finding: Finding) -> tuple[Finding, ...]:
    """Two mistakes before an operation that is right; empty if the operation itself is wrong.

    The operation is right if it gives the right result for the right values of two operands that
    are both wrong. Each mistake is then searched with the other operand corrected.
    """
    slot, *more = finding.group.slots
    if more or slot.is_argument or len({each.argument_shapes for each in slot.operations}) > 1:
        return ()
    operands = [Slot(slot.operations, n, is_argument=True) for n in range(len(slot.first.names))]
    for terms in _decompositions(bench, slot.first.name, finding.candidate[0]):
        if len(terms) != len(operands):
            continue
        for one, two in combinations(range(len(operands)), 2):
            group = SlotGroup((operands[one], operands[two]), finding.group.frame)
            candidate: Candidate = (terms[one], terms[two])
            if is_proved(bench, group, candidate):
                one_is_enough = any(
                    is_proved(bench, SlotGroup((slot,), group.frame), (term,))
                    for slot, term in zip(group.slots, candidate, strict=True)
                )
                return () if one_is_enough else _each_alone(bench, group, candidate)
    return ()


def mistake_before_wrong_operation(bench: Bench, finding: Finding) -> tuple[Finding, ...]:
    """A wrong operation, one operand of which is wrong because of another mistake before it.

    With the operands that are right terms in the wrong place replaced, the other mistake is the
    only one that is left.
    """
    slot, *more = finding.group.slots
    if more or slot.is_argument or len({each.argument_shapes for each in slot.operations}) > 1:
        return ()
    operands = [Slot(slot.operations, n, is_argument=True) for n in range(len(slot.first.names))]
    known = [term_at_first_step(bench, each) for each in operands]
    found = []
    for terms in _decompositions(bench, slot.first.name, finding.candidate[0]):
        if len(terms) != len(operands) or None not in known:
            continue
        wrong = [n for n, term in enumerate(known) if term and term.name != terms[n].name]
        if not wrong or len(wrong) == len(operands):
            continue
        group = SlotGroup(tuple(operands[n] for n in wrong), finding.group.frame)
        candidate = tuple(terms[n] for n in wrong)
        first = find_operation(replace(bench, before=((group, candidate),)))
        if first is not None and first.group.rank < finding.group.rank:
            found.append(first)
    if not found:
        return ()
    first = min(found, key=lambda each: each.group.rank)
    second = find_operation(replace(bench, before=((first.group, first.candidate),)))
    return (first, second) if second is not None else ()


def _decompositions(bench: Bench, name: str, expected: Term) -> Iterator[Candidate]:
    """The terms from which an operation of this name computes the expected one."""
    name = name.strip("_").removeprefix("i").removeprefix("r")
    named = {each.name: each for each in bench.candidates}
    for names in OPERANDS.get(name, ()):
        if set(names) <= set(named):
            yield tuple(named[each] for each in names)
    operation = OPERATIONS.get(name)
    if operation is None:
        return
    same = [each for each in named.values() if each.values.shape == expected.values.shape]
    values = torch.stack([each.values for each in same])
    for one in same:
        close = operation(one.values, values).isclose(expected.values, rtol=1e-6, atol=1e-8)
        equal = close.flatten(1).all(1).tolist()
        yield from ((one, two) for two, is_equal in zip(same, equal, strict=True) if is_equal)


def _each_alone(bench: Bench, group: SlotGroup, candidate: Candidate) -> tuple[Finding, ...]:
    """The mistake before each of two operands, with the other one corrected."""
    found = []
    for corrected in (1, 0):
        alone = SlotGroup((group.slots[corrected],), group.frame)
        finding = find_operation(replace(bench, before=((alone, (candidate[corrected],)),)))
        if finding is None or finding.group.slots[0].first.index == alone.slots[0].first.index:
            return ()  # the operand is right before this operation, which reads a wrong one
        found.append(finding)
    return tuple(sorted(found, key=lambda each: each.group.rank))
