"""Find the wrong operand of a wrong operation, and the line that gave it its value."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from cell_verifier.localisation.bench import STEPS, Bench
from cell_verifier.localisation.recorder import Operation, UserFrame
from cell_verifier.localisation.search import (
    Finding,
    equal,
    find_in_group,
    is_proved,
    step_of,
    term_at_first_step,
)
from cell_verifier.localisation.slots import Slot, SlotGroup, slot_groups
from cell_verifier.localisation.source import (
    binding_lines,
    exchanges_names,
    function_at,
    has_unused_names,
    parameters_of,
    statement_at,
)


def wrong_operands(bench: Bench, finding: Finding) -> Iterator[Finding]:
    """The arguments of a wrong operation that are a proof too: the operation itself is right."""
    slot, *more = finding.group.slots
    if more or slot.is_argument:
        return
    for n in range(len(slot.first.arguments)):
        shapes = {each.argument_shapes for each in slot.operations}
        if len(shapes) == 1:
            group = SlotGroup((Slot(slot.operations, n, is_argument=True),), finding.group.frame)
            found = find_in_group(bench, group)
            if found is not None:
                yield found


def line_of_value(bench: Bench, finding: Finding) -> tuple[str, int] | None:
    """The file and line that gave a wrong operand its value without a tensor operation.

    That is the call of the function whose parameter it is, or an assignment such as
    ``before = states[0]``. None if the operand is not a variable, if another use of the variable
    is right, or if the function never reads one of its variables: it then reads a wrong one.
    """
    slot, *more = finding.group.slots
    if more or not slot.is_argument or slot.first.name == "call":
        return None
    if _is_part_of_expected(bench, finding):
        return None
    name, frame = slot.variable, slot.first.frames[0]
    function = function_at(frame.file, frame.line)
    if not name or function is None or function.name != frame.code.co_name:
        return None
    if has_unused_names(function) or not _all_uses_are_wrong(bench, finding, name):
        return None
    lines = [statement_at(frame.file, n).line for n in binding_lines(function, name, frame.line)]
    if lines:
        computed = _computing_lines(bench.operations, slot)
        return None if computed & set(lines) else (frame.file, lines[0])
    callers = slot.first.frames[1:]
    if name in parameters_of(function) and callers:
        return callers[0].file, callers[0].line
    return None


def _is_part_of_expected(bench: Bench, finding: Finding) -> bool:
    """Whether the operand is right and an operation on it is missing: ``c`` for ``f ⊙ c``."""
    actual, expected = finding.actual[0], finding.candidate[0].name.split()
    return actual is not None and any(
        term.name in expected and equal(actual, term.values)
        for term in bench.terms.all
        if term.name != finding.candidate[0].name
    )


def _computing_lines(operations: list[Operation], slot: Slot) -> set[int]:
    """The lines of the statements in the same function whose operations return the operand."""
    code = slot.first.frames[0].code
    identities = {each.identities[0][slot.element] for each in slot.operations}
    return {
        statement_at(frame.file, frame.line).line
        for each in operations
        if identities & set(each.identities[1])
        for frame in each.frames
        if frame.code is code
    }


def _all_uses_are_wrong(bench: Bench, finding: Finding, name: str) -> bool:
    """Whether the intervention is still a proof if it replaces the variable wherever it is used."""
    slot = finding.group.slots[0]
    slots = tuple(_uses(bench.operations, slot, name))
    if len(slots) <= 1:
        return True
    group = replace(finding.group, slots=slots)
    return is_proved(bench, group, finding.candidate * len(slots))


def _uses(operations: list[Operation], slot: Slot, name: str) -> Iterator[Slot]:
    """Every argument in the same function, or below it, that is the same tensor at every step."""
    code = slot.first.frames[0].code
    wanted = [each.identities[0][slot.element] for each in slot.operations]
    by_site: dict[object, list[tuple[int, Operation, int]]] = {}
    for each in operations:
        if all(frame.code is not code for frame in each.frames):
            continue
        for n, identity in enumerate(each.identities[0]):
            own = each.names[n] == name or each.frames[0].code is not code
            if identity in wanted and own:
                by_site.setdefault((each.site, n), []).append((wanted.index(identity), each, n))
    for members in by_site.values():
        if [step for step, _, _ in members] == list(range(len(wanted))):
            yield Slot(tuple(each for _, each, _ in members), members[0][2], is_argument=True)


def exchanged_arguments(bench: Bench, findings: Sequence[Finding]) -> Finding | None:
    """Two arguments of a call that are exchanged: the function called is right, the call wrong.

    Only where the names are exchanged too; otherwise the function may be wrong as well.
    """
    for finding in findings:
        operation = finding.group.slots[0].first
        function = function_at(operation.frames[0].file, operation.frames[0].line)
        if function is None or len(operation.frames) < 2:
            continue
        caller = operation.frames[1]
        parameters = [each for each in parameters_of(function) if each != "self"]
        statement = statement_at(caller.file, caller.line).node
        if statement is not None and exchanges_names(statement, parameters):
            uses = [_uses_of_parameter(bench, finding, name) for name in parameters]
            for one, two in combinations([each for each in uses if each], 2):
                found = _exchanged(bench, one, two, caller)
                if found is not None:
                    return found
    return None


def _uses_of_parameter(bench: Bench, finding: Finding, name: str) -> tuple[Slot, ...]:
    """Every operand in the function of a finding that is the parameter ``name``."""
    code = finding.group.slots[0].first.frames[0].code
    for group in slot_groups(bench.operations, STEPS):
        slot = group.slots[0]
        first = slot.first
        own = slot.is_argument and len(group.slots) == 1 and first.frames[0].code is code
        if own and slot.variable == name:
            return tuple(_uses(bench.operations, slot, name))
    return ()


def _exchanged(
    bench: Bench, one: tuple[Slot, ...], two: tuple[Slot, ...], caller: UserFrame
) -> Finding | None:
    first, second = term_at_first_step(bench, one[0]), term_at_first_step(bench, two[0])
    if first is None or second is None or first == second:
        return None
    replaced = SlotGroup((*one, *two), caller)
    candidate = (*(second,) * len(one), *(first,) * len(two))
    if not is_proved(bench, replaced, candidate):
        return None
    group = SlotGroup((one[0], two[0]), caller)
    return Finding(group, (second, first), (first.values, second.values), bench)


def reverses_list(bench: Bench, finding: Finding) -> bool:
    """Whether the right h' are stacked in another order: the list is right, the stacking wrong."""
    first = finding.group.slots[0].first
    terms = {each.name: each for each in bench.terms.all}
    expected = [step_of(bench, each, first.arguments[0]) for each in terms["h'"].values]
    lines = statement_at(finding.group.frame.file, finding.group.frame.line)
    all_right = all(any(equal(part, each) for each in expected) for part in first.arguments)
    return all_right and any(word in lines.text for word in ("::-1", "reversed", "flip"))
