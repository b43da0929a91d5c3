"""Locate the mistakes of a module that differs from torch.nn's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.identification.identify import Identification
from cell_verifier.identification.subject import Subject
from cell_verifier.localisation.bench import Bench, Candidate
from cell_verifier.localisation.gradients import find_gradient_operation
from cell_verifier.localisation.hypotheses import hypotheses
from cell_verifier.localisation.layers.locate import locate_in_layers
from cell_verifier.localisation.location import Location
from cell_verifier.localisation.operands import (
    exchanged_arguments,
    line_of_value,
    reverses_list,
    wrong_operands,
)
from cell_verifier.localisation.recorder import CALL
from cell_verifier.localisation.search import (
    Finding,
    computes,
    find_operation,
    find_pair,
    lacks_activation,
)
from cell_verifier.localisation.slots import SlotGroup
from cell_verifier.localisation.source import (
    appending_line,
    function_at,
    line_without_gradients,
    parameters_of,
    statement_at,
    unpacking_line,
)
from cell_verifier.localisation.two_operands import (
    mistake_before_wrong_operation,
    mistakes_in_operands,
)
from cell_verifier.reference.simulate import max_relative_difference

Before = tuple[tuple[SlotGroup, Candidate], ...]
"""Interventions, each a group of slots and the terms in their place."""

MAX_SECONDS = 6.0
"""The search for lines stops after this time on the processor; a usual cell takes half a second."""


def locate(identification: Identification) -> tuple[Location, ...]:
    """The wrong statements, each proved by an intervention; empty if none can be proved.

    Not located: code that Python does not run line by line (TorchScript, compiled modules, C++).
    """
    subject = _with_output_compared(identification.subject)
    if subject.axis_error:
        return ()
    deadline = time.thread_time() + MAX_SECONDS
    benches = [Bench(each, deadline=deadline) for each in hypotheses(subject)]
    if benches[0].is_right():
        in_layers = tuple(locate_in_layers(subject, identification.layers, deadline))
        return in_layers or _location_in_gradients(benches[0])
    benches = [each for each in benches if not each.is_right()]
    complete = [each for each in map(_with_output, benches) if not each.is_right()]
    bench, findings = _best_single(complete)
    if bench is None:
        bench, findings = _first_pair(complete)
    if bench is None and complete != benches:
        bench, findings = _best_single(benches)
    if bench is None:
        return ()
    swapped = exchanged_arguments(bench, findings)
    if swapped is not None:
        return (_location(swapped),)
    findings = _with_mistakes_before(bench, findings)
    before = tuple((each.group, each.candidate) for each in findings)
    in_gradients = _location_in_gradients(bench, before)
    return _one_for_each_statement([*map(_location, findings), *in_gradients])


def _with_mistakes_before(bench: Bench, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The two mistakes whose results a single wrong operation reads, if that explains more."""
    if len(findings) > 1:
        return findings
    before = mistakes_in_operands(bench, findings[0])
    unknown = not _location(findings[0]).computes
    if len({_location(each).line for each in before}) > 1 or (before and unknown):
        return before
    return (unknown and mistake_before_wrong_operation(bench, findings[0])) or findings


def _one_for_each_statement(locations: Sequence[Location]) -> tuple[Location, ...]:
    """The locations; two mistakes in the same statement become one location with both texts."""
    by_place: dict[tuple[str, int], Location] = {}
    for each in locations:
        known = by_place.get((each.file, each.line))
        if known is not None and known != each:
            computes = f"{known.computes} and {each.computes}" if each.computes else ""
            both = f"{known.expected} and {each.expected} (two mistakes on this line)"
            each = replace(known, computes=computes if known.computes else "", expected=both)
        by_place[each.file, each.line] = each
    return tuple(by_place.values())


def _location_in_gradients(bench: Bench, before: Before = ()) -> tuple[Location, ...]:
    """The line that stops or changes a gradient in a module whose outputs are right.

    Args:
        before: interventions with which the outputs are right.
    """
    finding = find_gradient_operation(bench.subject, bench.deadline, before)
    if finding is None:
        return ()
    frame, name = finding.group.frame, ", ".join(term.name for term in finding.terms)
    line = line_without_gradients(frame.file, frame.line)
    statement = statement_at(frame.file, line)
    computes = f"{name}, with another gradient than torch.nn's"
    expected = f"{name}, through which the gradient flows back"
    return (
        Location(
            frame.file,
            statement.line,
            statement.end_line,
            statement.text,
            computes,
            expected,
            proved=True,
        ),
    )


Found = tuple[Bench | None, tuple[Finding, ...]]


def _best_single(benches: Sequence[Bench]) -> Found:
    """The best single operation under any hypothesis, and its bench."""
    found: list[tuple[Quality, Bench, Finding]] = []
    for bench in benches:
        finding = find_operation(bench)
        if finding is not None:
            found.append((_quality(bench, finding), bench, finding))
            if found[-1][0] == BEST:
                break
    if not found:
        return None, ()
    _, bench, finding = min(found, key=lambda each: each[0])
    return bench, (finding,)


def _first_pair(benches: Sequence[Bench]) -> Found:
    for bench in benches:
        findings = find_pair(bench)
        if findings:
            return bench, findings
    return None, ()


@dataclass(frozen=True, order=True)
class Quality:
    """How little a finding explains; lower is better.

    Attributes:
        is_state: whether the right h' is put in for an unknown value. In the last operation of a
            step, that is a proof under every hypothesis.
        unknown: whether it is unknown what the operation computes.
    """

    is_state: bool
    unknown: bool


BEST = Quality(is_state=False, unknown=False)


def _quality(bench: Bench, finding: Finding) -> Quality:
    unknown = not computes(bench, finding)
    is_state = [term.name for term in finding.candidate] == ["h'"]
    return Quality(is_state and unknown, unknown)


def _with_output_compared(subject: Subject) -> Subject:
    """The subject with the output that was set aside because it is not h, although it could be."""
    convention = subject.convention
    if not (isinstance(convention, LayerConvention) and convention.aside_may_be_h):
        return subject
    output = convention.set_aside
    compared = replace(convention, output=output, set_aside=None, aside_may_be_h=False)
    return replace(subject, convention=compared)


def _with_output(bench: Bench) -> Bench:
    return replace(bench, subject=_with_output_compared(bench.subject))


def agreement(identification: Identification) -> str:
    """What is right in a module in which no wrong line could be proved, in one sentence."""
    subject = _with_output_compared(identification.subject)
    if subject.axis_error:
        return "no line can be proved to be wrong: the module runs only where T equals B"
    experiment = subject.experiment(subject.probe())
    with torch.no_grad():
        try:
            observed, expected = experiment.run_user(), experiment.run_torch()
        except Exception:
            return "no line can be proved to be wrong: the module raises"
    right: list[str] = []
    wrong: list[str] = []
    for name, part in observed.items():
        same = max_relative_difference({name: part}, expected) <= subject.precision.match
        (right if same else wrong).append(name)
    if not wrong:
        return "no line can be proved to be wrong: the outputs agree at every step"
    verb = "differs" if len(wrong) == 1 else "differ"
    agrees = (
        f"{' and '.join(right)} {'agrees' if len(right) == 1 else 'agree'} at every step; "
        if right
        else ""
    )
    return f"no line can be proved to be wrong: {agrees}{' and '.join(wrong)} {verb}"


def _location(finding: Finding) -> Location:
    bench = finding.bench
    finding, (file, line) = _most_telling(bench, finding)
    statement = statement_at(file, line)
    return Location(
        file,
        statement.line,
        statement.end_line,
        statement.text,
        computes(bench, finding),
        _should_compute(finding),
        proved=True,
    )


def _most_telling(bench: Bench, finding: Finding) -> tuple[Finding, tuple[str, int]]:
    """The finding, or that on its wrong operand, and the place that it accuses."""
    operands = list(wrong_operands(bench, finding))
    for operand in operands:
        place = line_of_value(bench, operand)
        if place is not None:
            return operand, place
    if not computes(bench, finding):
        for operand in operands:
            if computes(bench, operand) and not lacks_activation(bench, operand):
                return operand, _place(bench, operand)
    return finding, _place(bench, finding)


def _place(bench: Bench, finding: Finding) -> tuple[str, int]:
    """The file and the line that a finding accuses."""
    frame, first = finding.group.frame, finding.group.slots[0].first
    if first.name == CALL:
        function = function_at(frame.file, frame.line)
        names = set(parameters_of(function)) if function else set()
        return frame.file, unpacking_line(function, names) if function else frame.line
    if first.name in ("stack", "cat") and finding.is_sequence:
        if reverses_list(bench, finding):
            return frame.file, frame.line
        return frame.file, appending_line(*frame.place)
    if finding.copy_line:
        return frame.file, finding.copy_line
    return line_of_value(bench, finding) or (frame.file, frame.line)


def _should_compute(finding: Finding) -> str:
    if len(finding.candidate) == 1:
        return finding.candidate[0].equation
    return ", ".join(term.name for term in finding.candidate)
