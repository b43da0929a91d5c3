"""The checks of one cell, or of a layer of one cell: outputs, gradients and side effects."""

from collections.abc import Iterator

import torch

from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.checks.check import Check
from cell_verifier.identification.gradients import (
    GRADIENT_STEPS,
    gives_gradients,
    relative_differences,
    torch_gradients,
    user_gradients,
)
from cell_verifier.identification.subject import Subject
from cell_verifier.reference.probes import FLOAT32, Precision, Probe
from cell_verifier.reference.simulate import RunResult, max_relative_difference
from command_line.errors import own_line


def cell_checks(subject: Subject) -> Iterator[Check]:
    """Every comparison of the module with default options."""
    yield from _output_checks(subject)
    yield from _argument_checks(subject)
    yield _gradient_check(subject)
    single = subject.probe(dtype=torch.float32)
    yield _compare(subject, "float32", "the same in float32", single, FLOAT32)
    yield _compare(
        subject, "train mode", "the same after .train()", subject.probe(time=5), training=True
    )
    yield _no_in_place_changes(subject)
    yield _deterministic(subject)


def _output_checks(subject: Subject) -> Iterator[Check]:
    states = "h" if subject.kind.name != "lstm" else "h and c"
    compared = f"{states} after every step"
    if not subject.is_cell:
        compared = "outputs at every step and the final state"
    takes_state = subject.convention.takes_state
    initial = "a random initial state" if takes_state else "the zero state"
    covers = f"{compared}, 9 steps, 4 samples, from {initial}"
    yield _compare(subject, "outputs", covers, subject.probe(time=9, batch=4))
    zero = subject.probe(time=5).zero_state()
    if takes_state:
        yield _compare(subject, "zero state", "the same from an initial state of zeros", zero)
    if takes_state and _state_is_optional(subject):
        covers = "the same without an initial state: zeros"
        yield _compare(subject, "no initial state", covers, zero, stateless=True)
    one = subject.probe(time=1, batch=1)
    yield _compare(subject, "one sample", "the same for 1 step, 1 sample", one)
    long = subject.probe(time=40, batch=2)
    yield _compare(subject, "many steps", "the same for 40 steps, 2 samples", long)


def _argument_checks(subject: Subject) -> Iterator[Check]:
    """Failed checks of what the module offers, but cannot be compared because it is wrong."""
    convention = subject.convention
    if isinstance(convention, LayerConvention) and convention.state_error:
        covers = "the same from a random initial state"
        yield Check("initial state", covers, False, detail=convention.state_error)
    if convention.aside_may_be_h and not subject.correspondence.extra:
        detail = "the first returned value has the shape of h, but is not h"
        yield Check("returned output", "the output before the state is h", False, detail=detail)


def _state_is_optional(subject: Subject) -> bool:
    try:
        with torch.no_grad():
            subject.experiment(subject.probe(time=1)).run_user(stateless=True)
    except Exception:
        return False
    return True


def _compare(
    subject: Subject,
    name: str,
    covers: str,
    probe: Probe,
    precision: Precision | None = None,
    *,
    stateless: bool = False,
    training: bool = False,
) -> Check:
    """Compare what the user's module and torch.nn's return for the probe."""
    precision = precision or subject.precision
    experiment = subject.experiment(probe, precision)
    experiment.module.train(training)
    with torch.no_grad():
        try:
            observed = experiment.run_user(stateless=stateless)
        except Exception as error:
            return Check(name, covers, False, detail=f"raises: {own_line(error)}")
        expected = experiment.run_torch()
    detail = _shape_or_dtype_difference(observed, expected)
    difference = None if detail else max_relative_difference(observed, expected)
    passed = difference is not None and difference <= precision.outputs
    return Check(name, covers, passed, difference, precision.outputs, detail)


def _shape_or_dtype_difference(observed: RunResult, expected: RunResult) -> str:
    """The first wrong shape or dtype, or an empty string."""
    for name, part in observed.items():
        wanted = expected[name]
        if part.shape != wanted.shape:
            return f"{name} has shape {tuple(part.shape)}, expected {tuple(wanted.shape)}"
        if part.dtype != wanted.dtype:
            return f"{name} has dtype {part.dtype}, expected {wanted.dtype}"
    return ""


def _gradient_check(subject: Subject) -> Check:
    inputs = ["the input"]
    if subject.convention.takes_state:
        inputs.append("the initial state")
    if subject.loaded is None:
        inputs.append("every parameter")
    covers = f"with respect to {', '.join(inputs)}; {GRADIENT_STEPS} steps"
    if not gives_gradients(subject):
        return Check("gradients", covers, None, detail="NumPy code gives none")
    try:
        got = user_gradients(subject)
    except Exception as error:
        return Check("gradients", covers, False, detail=f"raises: {own_line(error)}")
    tolerance = subject.precision.gradients
    differences = relative_differences(got, torch_gradients(subject))
    wrong = [name for name, value in differences.items() if not value <= tolerance]
    more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    detail = f"wrong for {', '.join(wrong[:4])}{more}" if wrong else ""
    worst = max(differences.values(), default=0.0)
    return Check("gradients", covers, not wrong, worst, tolerance, detail)


def _no_in_place_changes(subject: Subject) -> Check:
    name, covers = "no in-place changes", "input, state and weights are unchanged after a call"
    experiment = subject.experiment(subject.probe())
    passed_in, original = experiment.probe.copy(), experiment.probe
    before = {name: part.clone() for name, part in experiment.parameters.items()}
    with torch.no_grad():
        try:
            experiment.run_user(passed_in)
        except Exception as error:
            return Check(name, covers, False, detail=f"raises: {own_line(error)}")
    pairs = [("the input", passed_in.x, original.x)]
    pairs += [("the state", a, b) for a, b in zip(passed_in.state, original.state, strict=True)]
    pairs += [(name, part, before[name]) for name, part in experiment.parameters.items()]
    changed = [what for what, now, then in pairs if not torch.equal(now, then)]
    detail = f"changes {', '.join(dict.fromkeys(changed))}" if changed else ""
    return Check(name, covers, not changed, detail=detail)


def _deterministic(subject: Subject) -> Check:
    name = "deterministic"
    covers = "a repeated call returns the same values, also after other calls"
    experiment, other = subject.experiment(subject.probe()), subject.probe(batch=2, seed=8)
    with torch.no_grad():
        try:
            first = experiment.run_user()
            experiment.run_user(other)
            second = experiment.run_user()
        except Exception as error:
            return Check(name, covers, False, detail=f"raises: {own_line(error)}")
    difference = max_relative_difference(second, first)
    return Check(name, covers, difference == 0.0, difference, 0.0)
