"""Where the user's numbers leave torch.nn's, and what the mistakes found are."""

import torch

from cell_verifier.identification.search import Made
from cell_verifier.identification.subject import Subject, parameter_copies
from cell_verifier.mistakes.catalogue import Variant
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.reference.simulate import Observation
from cell_verifier.report import Diagnosis, FirstDifference


def diagnosis_of(variant: Variant) -> Diagnosis:
    """A mistake in the report's words."""
    mistake = variant.mistake
    return Diagnosis(
        mistake.id, variant.change.detail, mistake.why, mistake.right, mistake.wrong, mistake.fix
    )


def first_difference(subject: Subject, made: Made) -> FirstDifference | None:
    """The first step at which any sample's number differs, and the largest difference there.

    None if no number does: a mistake of the gradients, or of more layers than one.
    """
    probe = subject.probe(time=6)
    module = subject.build()
    with torch.no_grad():
        try:
            observed = subject.run(module, probe.copy())
        except Exception:
            return None
        expected = subject.expected(named_parameters(module), probe)
    named = [each.change.gate for each in made if each.change.gate]
    depends = () if made else gates_of_the_difference(subject)
    steps = probe.x.size(0)
    found = _first(
        observed, expected, subject.precision.outputs, None if subject.is_cell else steps
    )
    if found is None:
        return None
    name, row, sample, unit = found
    at = (row, sample, unit)
    step = row if subject.is_cell or name == "output" else steps - 1
    return FirstDifference(
        name, step, sample, unit, float(observed[name][at]), float(expected[name][at]),
        named[0] if named and len(made) == 1 else "", depends,
    )  # fmt: skip


def _first(
    observed: Observation, expected: Observation, tolerance: float, final_at: int | None
) -> tuple[str, int, int, int] | None:
    """Name, row, sample and unit of the first difference in time.

    The rows of ``output``, and of a cell's states, are steps; a layer's states are those after step
    ``final_at``.
    """
    best: tuple[str, int, int, int] | None = None
    earliest = None
    for name in sorted(observed, key=("output", "h", "c").index):
        got, wanted = observed[name], expected[name]
        if got.shape != wanted.shape:
            continue
        apart = (got - wanted).abs()
        wrong = (apart > tolerance) | ~apart.isfinite()
        if not bool(wrong.any()):
            continue
        row = int(wrong.flatten(1).any(1).to(torch.uint8).argmax())
        step = row if final_at is None or name == "output" else final_at
        if earliest is None or step < earliest:
            place = int(apart[row].nan_to_num(nan=torch.inf).argmax())
            sample, unit = divmod(place, got.size(-1))
            best, earliest = (name, row, sample, unit), step
    return best


def gates_of_the_difference(subject: Subject) -> tuple[str, ...]:
    """The gates on whose rows the difference after one step depends, by its gradient."""
    if subject.loaded is not None:
        return ()
    probe = subject.probe(time=1)
    module = subject.build()
    copies = parameter_copies(module)
    try:
        observed = subject.run(module, probe.copy())
        expected = subject.expected(copies, probe)
        apart = sum(((observed[n] - expected[n]) ** 2).sum() for n in observed)
        assert isinstance(apart, torch.Tensor)
        theirs = dict(module.named_parameters())
        leaves = [*theirs.values(), *copies.values()]
        arrived = torch.autograd.grad(apart, leaves, allow_unused=True)
    except Exception:
        return ()
    total = {
        name: sum((part for part in pair if part is not None), torch.zeros_like(theirs[name]))
        for name, pair in zip(
            theirs, zip(arrived[: len(theirs)], arrived[len(theirs) :], strict=True), strict=True
        )
    }
    rows = subject.weights(total)
    kept = []
    for index, gate in enumerate(subject.kind.gates):
        size = sum(float(part[index].abs().max()) for part in (rows.ih, rows.hh, rows.b_ih))
        if size > 1e-12:
            kept.append(gate)
    return tuple(kept)
