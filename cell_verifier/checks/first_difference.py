"""The first difference between the user's outputs and torch.nn's."""

import torch

from cell_verifier.checks.check import FirstDifference
from cell_verifier.identification.identify import Identification
from cell_verifier.identification.subject import Subject
from cell_verifier.reference.simulate import RunResult


def first_difference(identification: Identification) -> FirstDifference | None:
    """The first difference; None if the outputs do not differ (a mistake in the gradients only)."""
    subject, mistakes = identification.subject, identification.mistakes
    if subject.axis_error:  # the module does not run on this probe
        return None
    experiment = subject.experiment(subject.probe(time=6))
    with torch.no_grad():
        try:
            observed = experiment.run_user()
        except Exception:
            return None
        expected = experiment.run_torch()
    steps = experiment.probe.x.size(0)
    found = _first(
        observed, expected, subject.precision.outputs, None if subject.is_cell else steps - 1
    )
    if found is None:
        return None
    name, step, index = found
    _, sample, unit = index
    gate = mistakes[0].change.gate if len(mistakes) == 1 else ""
    return FirstDifference(
        name,
        step,
        sample,
        unit,
        float(observed[name][index]),
        float(expected[name][index]),
        gate,
        depends_on=() if mistakes else gates_of_the_difference(subject),
    )


def _first(
    observed: RunResult, expected: RunResult, tolerance: float, last_step: int | None
) -> tuple[str, int, tuple[int, int, int]] | None:
    """Name, time step and (row, sample, unit) of the first difference in time.

    The rows of ``output``, and of a cell's states, are time steps; the states of a layer are those
    after ``last_step``.
    """
    best: tuple[str, int, tuple[int, int, int]] | None = None
    for name in sorted(observed, key=("output", "h", "c").index):
        got, wanted = observed[name], expected[name]
        if got.shape != wanted.shape:
            continue
        difference = (got - wanted).abs()
        wrong = (difference > tolerance) | ~difference.isfinite()
        if not bool(wrong.any()):
            continue
        row = int(wrong.flatten(1).any(1).to(torch.uint8).argmax())
        step = row if last_step is None or name == "output" else last_step
        if best is None or step < best[1]:
            largest = int(difference[row].nan_to_num(nan=torch.inf).argmax())
            sample, unit = divmod(largest, got.size(-1))
            best = (name, step, (row, sample, unit))
    return best


def gates_of_the_difference(subject: Subject) -> tuple[str, ...]:
    """The gates on whose weights the difference after one time step depends, by its gradient."""
    if subject.loaded is not None:
        return ()
    experiment = subject.experiment(subject.probe(time=1))
    parameters = experiment.parameters
    try:
        observed, expected = experiment.run_user(), experiment.run_torch()
        squared = torch.stack([((observed[n] - expected[n]) ** 2).sum() for n in observed]).sum()
        gradients = torch.autograd.grad(squared, list(parameters.values()), allow_unused=True)
    except Exception:  # no gradient can be computed
        return ()
    by_name = {
        name: torch.zeros_like(parameters[name]) if part is None else part
        for name, part in zip(parameters, gradients, strict=True)
    }
    rows = subject.weights(by_name)
    return tuple(
        gate
        for index, gate in enumerate(subject.kind.gates)
        if sum(float(part[index].abs().max()) for part in (rows.ih, rows.hh, rows.b_ih)) > 1e-12
    )
