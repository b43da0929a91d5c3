"""Gradients of one scalar, the user's and torch.nn's, and the mistakes that show only there."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cell_verifier.identification.search import Made
from cell_verifier.identification.subject import Subject, parameter_copies
from cell_verifier.mistakes.catalogue import variants
from cell_verifier.reference.probes import Precision, Probe
from cell_verifier.reference.simulate import Observation

Gradients = dict[str, Tensor | None]
"""By name: the input, each part of the initial state, each parameter; None where none arrives."""


def gradients(observed: Observation, probe: Probe, parameters: Mapping[str, Tensor]) -> Gradients:
    """Of one fixed random mixture of everything observed."""
    generator = torch.Generator().manual_seed(5)
    mixture = torch.zeros((), dtype=probe.x.dtype)
    for _, part in sorted(observed.items()):
        weights = torch.randn(part.shape, generator=generator, dtype=torch.float64)
        mixture = mixture + (part * weights.to(part.dtype)).sum()
    state = {f"state {n}": part for n, part in enumerate(probe.state)}
    leaves = {"input": probe.x, **state, **parameters}
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    if not mixture.requires_grad:
        return dict.fromkeys(wanted)
    arrived = torch.autograd.grad(mixture, list(wanted.values()), allow_unused=True)
    return dict(zip(wanted, arrived, strict=True))


def user_gradients(subject: Subject, probe: Probe, precision: Precision) -> Gradients:
    """The user's."""
    module = subject.build(precision)
    asked = probe.require_grad()
    names = dict(module.named_parameters()) if subject.loaded is None else {}
    got = gradients(observe_common(subject, subject.run(module, asked)), asked, names)
    if subject.convention.takes_state:
        return got
    return {name: part for name, part in got.items() if not name.startswith("state ")}


def torch_gradients(subject: Subject, probe: Probe, precision: Precision) -> Gradients:
    """torch.nn's, with respect to the user's parameters, its weights being views of them."""
    copies = parameter_copies(subject.build(precision))
    asked = probe.require_grad()
    names = copies if subject.loaded is None else {}
    return gradients(observe_common(subject, subject.expected(copies, asked)), asked, names)


def imitated_gradients(
    subject: Subject, probe: Probe, precision: Precision, made: Made
) -> Gradients:
    """Those of torch.nn's algebra with mistakes."""
    copies = parameter_copies(subject.build(precision))
    asked = probe.require_grad()
    names = copies if subject.loaded is None else {}
    return gradients(observe_common(subject, subject.imitated(copies, asked, made)), asked, names)


def observe_common(subject: Subject, observed: Observation) -> Observation:
    """Only what the user's module returns."""
    return {name: observed[name] for name in subject.shown() if name in observed}


def apart(got: Gradients, expected: Gradients) -> dict[str, float]:
    """The largest difference of each gradient, relative to the largest expected number.

    A gradient that does not arrive is a zero; where torch.nn's is not zero, that is a difference.
    """
    return {name: _apart(got.get(name), wanted) for name, wanted in expected.items() if name in got}


def _apart(got: Tensor | None, expected: Tensor | None) -> float:
    if got is None and expected is None:
        return 0.0
    some = expected if expected is not None else got
    assert some is not None
    zero = torch.zeros_like(some)
    got, expected = zero if got is None else got, zero if expected is None else expected
    return float((got - expected).abs().max() / max(1.0, float(expected.abs().max())))


def gradient_mistakes(subject: Subject, probe: Probe, precision: Precision) -> Made | None:
    """The mistakes, besides those found in the numbers, that the user's gradients show.

    None if no known one reproduces them.
    """
    got = user_gradients(subject, probe, precision)
    known = variants(subject.kind.name, "gradient")
    for more in ((), *((each,) for each in known)):
        expected = imitated_gradients(subject, probe, precision, (*subject.made, *more))
        if max(apart(got, expected).values(), default=0.0) <= precision.reproduced:
            return more
    return None
