"""Gradients of one scalar through the user's module, torch.nn's and the simulated mistakes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cell_verifier.backward.of_module import find_backward_mistakes, uses_autograd_function
from cell_verifier.calling.construct import default_dtype
from cell_verifier.identification.subject import Experiment, Subject
from cell_verifier.mistakes import variants
from cell_verifier.mistakes.mistake import Mistakes
from cell_verifier.reference.probes import FLOAT32, FLOAT64, Probe
from cell_verifier.reference.simulate import RunResult

GRADIENT_STEPS = 6
"""Length of the sequences through which gradients are computed, in time steps."""

Gradients = dict[str, Tensor | None]
"""By name: the input, each part of the initial state, each parameter; None if it receives none."""


def gradients_of(result: RunResult, probe: Probe, parameters: Mapping[str, Tensor]) -> Gradients:
    """Gradients of a fixed random linear combination of everything in ``result``.

    Returns:
        A gradient for each of these tensors that requires one.
    """
    combination = torch.zeros((), dtype=probe.x.dtype)
    for name, weights in combination_weights(result).items():
        combination = combination + (result[name] * weights).sum()
    state = {f"state {n}": part for n, part in enumerate(probe.state)}
    inputs = {"input": probe.x, **state, **parameters}
    wanted = {name: leaf for name, leaf in inputs.items() if leaf.requires_grad}
    if not combination.requires_grad:
        return dict.fromkeys(wanted)
    with default_dtype(FLOAT32 if probe.x.dtype == torch.float32 else FLOAT64):
        # for a backward pass written by hand that allocates its own tensors
        gradients = torch.autograd.grad(
            combination, list(wanted.values()), allow_unused=True, retain_graph=True
        )
    return dict(zip(wanted, gradients, strict=True))


def combination_weights(result: RunResult) -> dict[str, Tensor]:
    """The random weights of the linear combination, for each tensor in ``result``."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(part.shape, generator=generator, dtype=torch.float64).to(part.dtype)
        for name, part in sorted(result.items())
    }


def gives_gradients(subject: Subject) -> bool:
    """Whether autograd can differentiate the user's code: NumPy code is compared on its values."""
    return bool(getattr(subject.construct(), "gives_gradients", True))


def user_gradients(subject: Subject) -> Gradients:
    """Gradients of the user's module.

    Raises:
        Exception: whatever the forward or backward pass of the module raises.
    """
    experiment = _experiment(subject)
    gradients = _gradients_of(experiment, experiment.run_user(experiment.probe))
    taken = subject.convention.parts_taken
    not_taken = [f"state {n}" for n in range(taken, len(subject.kind.state))]
    return {name: part for name, part in gradients.items() if name not in not_taken}


def torch_gradients(subject: Subject) -> Gradients:
    """Gradients of torch.nn's module with respect to the user's parameters."""
    experiment = _experiment(subject)
    return _gradients_of(experiment, experiment.run_torch())


def simulated_gradients(subject: Subject, mistakes: Mistakes) -> Gradients:
    """Gradients of torch.nn's equations with mistakes, with respect to the user's parameters."""
    experiment = _experiment(subject)
    return _gradients_of(experiment, experiment.run_simulated(mistakes))


def relative_differences(got: Gradients, expected: Gradients) -> dict[str, float]:
    """The largest difference of each gradient, relative to its largest expected element.

    A missing gradient counts as zero: it differs if torch.nn's is not zero.
    """
    return {
        name: _relative_difference(got[name], wanted)
        for name, wanted in expected.items()
        if name in got
    }


def find_gradient_mistakes(subject: Subject) -> Mistakes | None:
    """The mistakes, in addition to those in the outputs, that match the user's gradients.

    Returns:
        None if no known mistake matches them, or if the user's backward pass raises.
    """
    if not gives_gradients(subject):
        return ()
    try:
        got = user_gradients(subject)
    except Exception:  # the check of the gradients reports the error
        return None
    known = variants(subject.kind.name, "gradient")
    for more in ((), *((each,) for each in known)):
        expected = simulated_gradients(subject, (*subject.mistakes, *more))
        differences = relative_differences(got, expected)
        if max(differences.values(), default=0.0) <= subject.precision.match:
            return more
    return _find_backward_mistakes(subject, got)


def _find_backward_mistakes(subject: Subject, got: Gradients) -> Mistakes | None:
    """The mistakes in a backward pass written by hand; None if no known mistake matches."""
    experiment = _experiment(subject)
    if not uses_autograd_function(experiment.run_user(experiment.probe).values()):
        return None
    result = experiment.run_torch()
    returned = {name: result[name] for name in subject.observed_names() if name in result}
    expected = torch_gradients(subject)
    observed = {}
    for name, part in got.items():
        shape_of = part if part is not None else expected[name]
        if shape_of is not None:
            observed[name] = torch.zeros_like(shape_of) if part is None else part
    return find_backward_mistakes(experiment, combination_weights(returned), observed)


def _experiment(subject: Subject) -> Experiment:
    return subject.experiment(subject.probe(time=GRADIENT_STEPS).require_grad())


def _gradients_of(experiment: Experiment, result: RunResult) -> Gradients:
    subject = experiment.subject
    parameters = experiment.parameters if subject.loaded is None else {}
    common = {name: result[name] for name in subject.observed_names() if name in result}
    return gradients_of(common, experiment.probe, parameters)


def _relative_difference(got: Tensor | None, expected: Tensor | None) -> float:
    some = expected if expected is not None else got
    if some is None:
        return 0.0
    zero = torch.zeros_like(some)
    got, expected = zero if got is None else got, zero if expected is None else expected
    return float((got - expected).abs().max() / max(1.0, float(expected.abs().max())))
