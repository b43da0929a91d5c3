"""The comparisons that a verdict rests on, each with what it covers and by how much it fails."""

from collections.abc import Iterator

import torch

from cell_verifier.calling.construct import build, names, takes, working_in
from cell_verifier.checks.gradients import apart, torch_gradients, user_gradients
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.identify import all_trials
from cell_verifier.identification.search import Question, search
from cell_verifier.identification.subject import Subject
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.reference.equations import stack_weights
from cell_verifier.reference.probes import (
    FLOAT32,
    HIDDEN_SIZE,
    INPUT_SIZE,
    Precision,
    Probe,
    fill_weights,
)
from cell_verifier.reference.simulate import Observation, relative
from cell_verifier.report import Check
from command_line.errors import own_line


def checks(subject: Subject) -> Iterator[Check]:
    """Every comparison of one cell; those of stacks are in ``layers``."""
    yield from _numbers(subject)
    yield from _gradients(subject)
    yield _compare(
        subject,
        "float32",
        "the same in float32, to 1e-5",
        subject.probe(dtype=torch.float32),
        FLOAT32,
    )
    yield _compare(
        subject, "train mode", "the same after .train()", subject.probe(time=5), training=True
    )
    yield _inputs_kept(subject)
    yield _no_memory(subject)
    if takes(subject.make, "bias") and subject.loaded is None:
        yield _without_bias(subject)


def _numbers(subject: Subject) -> Iterator[Check]:
    every = "h after every step" if subject.kind.name != "lstm" else "h and c after every step"
    shown = every if subject.is_cell else "outputs at every step and the final state"
    start = "a random state" if subject.convention.takes_state else "the zero state"
    yield _compare(
        subject,
        "outputs",
        f"{shown}, 9 steps, 4 samples, from {start}",
        subject.probe(time=9, batch=4),
    )
    if subject.convention.takes_state:
        yield _compare(
            subject,
            "zero state",
            "the same from a state of zeros",
            subject.probe(time=5).zero_state(),
        )
    if subject.convention.takes_state and _state_optional(subject):
        yield _compare(
            subject, "no state given", "zeros where the caller gives no state",
            subject.probe(time=5).zero_state(), stateless=True,
        )  # fmt: skip
    yield _compare(
        subject, "one sample", "a batch of one, one step", subject.probe(time=1, batch=1)
    )
    yield _compare(subject, "many steps", "40 steps, 2 samples", subject.probe(time=40, batch=2))


def _state_optional(subject: Subject) -> bool:
    probe = subject.probe(time=1)
    try:
        with torch.no_grad():
            subject.run(subject.build(), probe, stateless=True)
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
    precision = precision or subject.precision
    module = subject.build(precision).train(training)
    with torch.no_grad():
        try:
            observed = subject.run(module, probe.copy(), stateless)
        except Exception as error:
            return Check(name, covers, False, detail=f"raises: {own_line(error)}")
        expected = subject.expected(named_parameters(module), probe)
    detail = unlike(observed, expected)
    difference = None if detail else relative(observed, expected)
    passed = difference is not None and difference <= precision.outputs
    return Check(name, covers, passed, difference, precision.outputs, detail)


def unlike(observed: Observation, expected: Observation) -> str:
    """What is wrong with shapes and dtypes, if anything."""
    for name, part in observed.items():
        wanted = expected[name]
        if part.shape != wanted.shape:
            return f"{name} is {tuple(part.shape)}, expected {tuple(wanted.shape)}"
        if part.dtype != wanted.dtype:
            return f"{name} is {part.dtype}, expected {wanted.dtype}"
    return ""


def _gradients(subject: Subject) -> Iterator[Check]:
    parameters = "every parameter" if subject.loaded is None else "(not of loaded parameters)"
    covers = f"of the input, the initial state and {parameters}, through 6 steps"
    probe = subject.probe(time=6)
    if not subject.convention.takes_state:
        covers = covers.replace("the input, the initial state", "the input")
    try:
        got = user_gradients(subject, probe, subject.precision)
    except Exception as error:
        yield Check("gradients", covers, False, detail=f"raises: {own_line(error)}")
        return
    differences = apart(got, torch_gradients(subject, probe, subject.precision))
    wrong = [
        name for name, value in differences.items() if not value <= subject.precision.gradients
    ]
    more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    detail = f"wrong for {', '.join(wrong[:4])}{more}" if wrong else ""
    worst = max(differences.values(), default=0.0)
    yield Check("gradients", covers, not wrong, worst, subject.precision.gradients, detail)


def _inputs_kept(subject: Subject) -> Check:
    name, covers = "inputs kept", "input, state and weights are as they were after a call"
    module, probe = subject.build(), subject.probe()
    given = probe.copy()
    before = {name: part.clone() for name, part in module.named_parameters()}
    with torch.no_grad():
        try:
            subject.run(module, given)
        except Exception as error:
            return Check(name, covers, False, detail=f"raises: {own_line(error)}")
    pairs = [("the input", given.x, probe.x)]
    pairs += [("the state", a, b) for a, b in zip(given.state, probe.state, strict=True)]
    pairs += [(name, part, before[name]) for name, part in module.named_parameters()]
    changed = [what for what, now, then in pairs if not torch.equal(now, then)]
    detail = f"changes {', '.join(dict.fromkeys(changed))}" if changed else ""
    return Check(name, covers, not changed, detail=detail)


def _no_memory(subject: Subject) -> Check:
    name = "no memory"
    covers = "the same call gives the same numbers again, after other calls too"
    module, probe, other = subject.build(), subject.probe(), subject.probe(batch=2, seed=8)
    with torch.no_grad():
        try:
            once = subject.run(module, probe.copy())
            subject.run(module, other)
            again = subject.run(module, probe.copy())
        except Exception as error:
            return Check(name, covers, False, detail=f"raises: {own_line(error)}")
    difference = relative(again, once)
    return Check(name, covers, difference == 0.0, difference, 0.0)


def _without_bias(subject: Subject) -> Check:
    name, covers = "bias=False", "the same without biases"
    try:
        module = build(subject.make, subject.precision, bias=False)
        fill_weights(module)
        with torch.no_grad(), working_in(subject.precision):
            found = [each for each in candidates(module, subject.kind) if not each.biases()]
            if not found:
                return Check(name, covers, False, detail="parameters other than the weights remain")
            read = [each.read(named_parameters(module), INPUT_SIZE, HIDDEN_SIZE) for each in found]
            for trials, probe in all_trials(module, subject.kind, subject.precision):
                question = Question(
                    subject.kind,
                    probe,
                    trials,
                    found,
                    stack_weights(read),
                    tolerance=subject.precision.reproduced,
                )
                match = search(question, most=len(subject.made))
                if match is not None:
                    return Check(name, covers, not match.made)
    except CannotCheckError as error:
        passed = False if names(subject.make, "bias") else None
        return Check(name, covers, passed, detail=str(error))
    return Check(name, covers, False, detail="differs")
