"""Run the user's module under every calling convention, as a cell and as a layer."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_verifier.calling.discover import (
    CallAttempts,
    Trial,
    cell_trials,
    layer_trials,
    one_step_trials,
)
from cell_verifier.calling.nested_tensors import leaves
from cell_verifier.calling.telling_error import is_missing_name, most_telling_error
from cell_verifier.errors import CannotCheckError
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import HIDDEN_SIZE, TIME, Precision, Probe, draw_probe
from command_line.errors import own_line, type_and_message

EXPECTED = (
    "nothing with the shape of a state or of outputs: expected h or (h, c), with or without an "
    "output before it, from a cell; outputs, final states or both from a layer"
)
ADVICE = (
    "to verify its recurrent part alone, pass a function of (input_size, hidden_size) that returns "
    "that part: a module with x (T, B, I) or (B, I) as input that returns its states"
)


@dataclass(frozen=True)
class TrialSet:
    """The trials as a cell, or those as a layer, with the probe on which they ran."""

    trials: list[Trial]
    probe: Probe

    def select(self, aside_may_be_h: bool) -> "TrialSet":
        """The trials in which an output that could be h is set aside, or the others."""
        return TrialSet(
            [each for each in self.trials if each.convention.aside_may_be_h == aside_may_be_h],
            self.probe,
        )


class FixedDtypeError(CannotCheckError):
    """The module does not run at all, or not in the dtype of the comparison."""


class NotACellError(FixedDtypeError):
    """The module is more than a cell or a layer, or another kind of module."""


def find_trials(
    module: nn.Module, kind: Kind, precision: Precision, time: int = TIME
) -> list[TrialSet]:
    """Every convention under which the module runs: as a cell, then as a layer; one at least.

    Raises:
        FixedDtypeError: the module runs under none, or returns another dtype.
        NotACellError: it runs, but what it takes or returns is not that of a cell or a layer.
    """
    attempts = CallAttempts(module)
    cell_probe = draw_probe(kind, time=time, dtype=precision.dtype)
    layer_probe = draw_probe(kind, cells=1, time=time, dtype=precision.dtype)
    sets = [
        TrialSet(cell_trials(attempts, kind, cell_probe), cell_probe),
        TrialSet(layer_trials(attempts, kind, layer_probe), layer_probe),
    ]
    if not any(each.trials for each in sets):
        sets.append(TrialSet(one_step_trials(attempts, kind, cell_probe), cell_probe))
    sets = _without_layers_as_cells(module, [each for each in sets if each.trials])
    trials = [trial for each in sets for trial in each.trials]
    if not trials:
        raise why_not_callable(module, attempts.errors, layer_probe)
    if not any(_has_dtype(trial, precision) for trial in trials):
        raise FixedDtypeError(f"{type(module).__name__} returns another dtype than that of x")
    return sets


def _without_layers_as_cells(module: nn.Module, sets: list[TrialSet]) -> list[TrialSet]:
    """Without the trials as a cell of a layer that also runs with x (B, I), with B as time."""
    if len(sets) < 2:
        return sets
    as_cell, as_layer = sets
    if _mixes_samples(module, as_cell) and not _mixes_samples(module, as_layer):
        return [as_layer]
    return sets


@torch.no_grad()
def _mixes_samples(module: nn.Module, trials: TrialSet) -> bool:
    """Whether the values of the last sample depend on the input of the first one."""
    trial, changed = trials.trials[0], trials.probe.copy()
    changed.x[:, 0] += 1
    try:
        observed = trial.convention.run(module, changed)
    except Exception:  # the user's code may raise anything
        return False
    return any(
        not torch.equal(part[..., -1, :], trial.observed[name][..., -1, :])
        for name, part in observed.items()
    )


def unused_parameters(module: nn.Module, trials: TrialSet) -> tuple[str, ...]:
    """The parameters on which nothing depends that the module returns."""
    named = {name: part for name, part in module.named_parameters() if part.requires_grad}
    if not getattr(module, "gives_gradients", True):
        return tuple(name for name, part in named.items() if not _matters(module, part, trials))
    try:
        with torch.enable_grad():
            observed = trials.trials[0].convention.run(module, trials.probe.copy())
            total = torch.stack([part.sum() for part in observed.values()]).sum()
            gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    except Exception:  # no gradient can be computed, so the use of the parameters is unknown
        return ()
    return tuple(name for name, part in zip(named, gradients, strict=True) if part is None)


@torch.no_grad()
def _matters(module: nn.Module, parameter: Tensor, trials: TrialSet) -> bool:
    """Whether the module returns something else with another value of a parameter."""
    trial, before = trials.trials[0], parameter.detach().clone()
    parameter.add_(0.5)
    try:
        changed = trial.convention.run(module, trials.probe.copy())
    finally:
        parameter.copy_(before)
    return any(not torch.equal(part, trial.observed[name]) for name, part in changed.items())


def _has_dtype(trial: Trial, precision: Precision) -> bool:
    return all(part.dtype == precision.dtype for part in trial.observed.values())


def why_not_callable(
    module: nn.Module, errors: Sequence[Exception], probe: Probe
) -> FixedDtypeError:
    """The error for a module that runs under no convention: what is wrong, and what to do."""
    name = type(module).__name__
    error = most_telling_error(module, errors)
    if error is not None and is_missing_name(module, error):
        return FixedDtypeError(f"{name}.forward raises: {own_line(error)}")
    embeddings = [path for path, part in module.named_modules() if isinstance(part, nn.Embedding)]
    if embeddings:
        return NotACellError(f"{name} contains an embedding, {embeddings[0]}; {ADVICE}")
    returned = _returned_without_state(module, probe)
    problem = _problem_of(module, returned, probe)
    if problem:
        return FixedDtypeError(f"{name} {problem}")
    if returned:
        return NotACellError(f"{name} runs, but returns {EXPECTED}; {ADVICE}")
    if error is not None:
        return FixedDtypeError(f"{name}.forward raises: {own_line(error)}")
    if errors:
        first = type_and_message(errors[0])
        return FixedDtypeError(f"{name} cannot be called as a cell or as a layer: {first}")
    return NotACellError(f"{name} runs, but returns {EXPECTED}; {ADVICE}")


def _returned_without_state(module: nn.Module, probe: Probe) -> dict[str, list[Tensor]]:
    """What the module returns for x alone: called as a layer, batch first, and as a cell."""
    inputs = {"layer": probe.x, "batch": probe.x.transpose(0, 1).contiguous(), "cell": probe.x[0]}
    found = {}
    for name, x in inputs.items():
        with suppress(Exception):
            found[name] = leaves(module(x.clone()))
    return found


def _problem_of(module: nn.Module, returned: Mapping[str, list[Tensor]], probe: Probe) -> str:
    """What keeps a module that runs without a state from being compared; empty if unknown."""
    time, batch = probe.x.shape[:2]
    both = {(time, batch, 2 * HIDDEN_SIZE), (batch, time, 2 * HIDDEN_SIZE)}
    if any(tuple(leaf.shape) in both for values in returned.values() for leaf in values):
        return (
            "returns outputs of width 2 * hidden_size: it always has two directions; give its "
            "constructor an argument bidirectional=False, so that one direction can be compared "
            "first"
        )
    again = _returned_without_state(module, probe).get("cell", [])
    first = returned.get("cell", [])
    same_shapes = [leaf.shape for leaf in again] == [leaf.shape for leaf in first]
    if same_shapes and not all(map(torch.equal, again, first)):
        return (
            "keeps its state between calls, and takes none: let forward take the state and "
            "return the next one, so that it can be compared step by step"
        )
    return ""
