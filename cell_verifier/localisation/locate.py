"""Locate the mistakes of a module that differs from torch.nn's."""

import time
from dataclasses import replace

import torch

from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.identification.identify import Identification
from cell_verifier.identification.subject import Subject
from cell_verifier.localisation.bench import Bench
from cell_verifier.localisation.formulas import formula_of
from cell_verifier.localisation.hypotheses import hypotheses
from cell_verifier.localisation.location import Location
from cell_verifier.localisation.search import Finding, find_operations
from cell_verifier.localisation.source import appending_line, statement_at
from cell_verifier.localisation.terms import Term
from cell_verifier.reference.simulate import max_relative_difference

MAX_SECONDS = 6.0
"""The search for lines stops after this time; a usual cell takes about half a second."""


def locate(identification: Identification) -> tuple[Location, ...]:
    """The wrong statements, each proved by an intervention; empty if none can be proved.

    Not located: mistakes that only the gradients or a configuration with several layers show, and
    code that Python does not run line by line (TorchScript, compiled modules, C++).
    """
    subject = _with_output_compared(identification.subject)
    if subject.axis_error:
        return ()
    deadline = time.monotonic() + MAX_SECONDS
    for hypothesis in hypotheses(subject):
        bench = Bench(hypothesis, deadline=deadline)
        findings = find_operations(bench)
        if findings:
            return tuple(dict.fromkeys(_location(bench, each) for each in findings))
    return ()


def _with_output_compared(subject: Subject) -> Subject:
    """The subject with the output that was set aside because it is not h, although it could be."""
    convention = subject.convention
    if not (isinstance(convention, LayerConvention) and convention.aside_may_be_h):
        return subject
    output = convention.set_aside
    compared = replace(convention, output=output, set_aside=None, aside_may_be_h=False)
    return replace(subject, convention=compared)


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
    agrees = f"{' and '.join(right)} agree at every step; " if right else ""
    return f"no line can be proved to be wrong: {agrees}{' and '.join(wrong)} differ"


def _location(bench: Bench, finding: Finding) -> Location:
    frame = finding.group.frame
    line = frame.line
    if finding.group.slots[0].first.name in ("stack", "cat") and finding.is_sequence:
        line = appending_line(frame.file, line)
    elif finding.copy_line:
        line = finding.copy_line
    statement = statement_at(frame.file, line)
    return Location(
        frame.file,
        statement.line,
        statement.end_line,
        statement.text,
        _computes(bench, finding),
        _should_compute(finding),
        proved=True,
    )


def _computes(bench: Bench, finding: Finding) -> str:
    """What the operation computes, or "" if a part of it is unknown."""
    formulas = []
    for actual, term in zip(finding.actual, finding.candidate, strict=True):
        found = "" if actual is None else formula_of(actual, _vocabulary(bench, term))
        if not found:
            return ""
        formulas.append(found)
    return ", ".join(formulas)


def _should_compute(finding: Finding) -> str:
    if len(finding.candidate) == 1:
        return finding.candidate[0].equation
    return ", ".join(term.name for term in finding.candidate)


def _vocabulary(bench: Bench, term: Term) -> tuple[Term, ...]:
    if term.values.dim() == 2:  # the state before the first or after the last step
        return ()
    return (*bench.terms.all, *bench.terms.stacked)
