"""Run the user's module under every calling convention, as a cell and as a layer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from cell_verifier.calling.discover import CallAttempts, Trial, cell_trials, layer_trials
from cell_verifier.errors import CannotCheckError
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import TIME, Precision, Probe, draw_probe
from command_line.errors import own_line, own_place, type_and_message


@dataclass(frozen=True)
class TrialSet:
    """The trials as a cell, or those as a layer, with the probe on which they ran."""

    trials: list[Trial]
    probe: Probe


class FixedDtypeError(CannotCheckError):
    """The module does not run at all, or not in the dtype of the comparison."""


def find_trials(
    module: nn.Module, kind: Kind, precision: Precision, time: int = TIME
) -> list[TrialSet]:
    """Every convention under which the module runs: as a cell, then as a layer; one at least.

    Raises:
        FixedDtypeError: the module runs under none, or returns another dtype.
    """
    attempts = CallAttempts(module)
    cell_probe = draw_probe(kind, time=time, dtype=precision.dtype)
    layer_probe = draw_probe(kind, cells=1, time=time, dtype=precision.dtype)
    sets = [
        TrialSet(cell_trials(attempts, kind, cell_probe), cell_probe),
        TrialSet(layer_trials(attempts, kind, layer_probe), layer_probe),
    ]
    sets = [each for each in sets if each.trials]
    trials = [trial for each in sets for trial in each.trials]
    if not any(_has_dtype(trial, precision) for trial in trials):
        raise FixedDtypeError(_why_not(module, attempts.errors))
    return sets


def unused_parameters(module: nn.Module, trials: TrialSet) -> tuple[str, ...]:
    """The parameters on which nothing depends that the module returns."""
    named = {name: part for name, part in module.named_parameters() if part.requires_grad}
    try:
        with torch.enable_grad():
            observed = trials.trials[0].convention.run(module, trials.probe.copy())
            total = torch.stack([part.sum() for part in observed.values()]).sum()
            gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    except Exception:  # no gradient can be computed, so the use of the parameters is unknown
        return ()
    return tuple(name for name, part in zip(named, gradients, strict=True) if part is None)


def _has_dtype(trial: Trial, precision: Precision) -> bool:
    return all(part.dtype == precision.dtype for part in trial.observed.values())


def _why_not(module: nn.Module, errors: Sequence[Exception]) -> str:
    """The most frequent error in the user's own code, or the first error of another kind."""
    name = type(module).__name__
    own = [error for error in errors if own_place(error)]
    if own:
        counted = Counter((own_place(error), type(error)) for error in own)
        most_frequent, _ = counted.most_common(1)[0]
        error = next(e for e in own if (own_place(e), type(e)) == most_frequent)
        return f"{name}.forward raises: {own_line(error)}"
    if errors:
        return f"{name} cannot be called as a cell or as a layer: {type_and_message(errors[0])}"
    return (
        f"{name} runs, but returns nothing with the shape of a state or of outputs: expected h or "
        "(h, c), with or without an output before it, from a cell; outputs, final states or both "
        "from a layer"
    )
