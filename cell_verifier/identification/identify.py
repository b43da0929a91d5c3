"""Find out what the user's module is: how it is called, and what its parameters are."""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from cell_verifier.calling.construct import Make, build, name_of, working_in
from cell_verifier.calling.conventions import CellConvention
from cell_verifier.calling.discover import Attempts, Trial, cell_trials, layer_trials
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.search import Finding, Question, search
from cell_verifier.identification.subject import Subject, load
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import Correspondence, named_parameters
from cell_verifier.parameters.explicit import given
from cell_verifier.parameters.groups import NORMALIZATIONS
from cell_verifier.reference.equations import Weights, stack_weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import (
    BATCH,
    FLOAT32,
    FLOAT64,
    HIDDEN_SIZE,
    INPUT_SIZE,
    TIME,
    Precision,
    Probe,
    draw_probe,
    fill_weights,
)
from command_line.errors import own_line, own_place, type_and_message

Runs = list[tuple[list[Trial], Probe]]
"""The trials as a cell and as a layer, each with its probe."""


def identify(make: Make, kind: Kind, weights: Mapping[str, str] | None) -> Subject:
    """Try every convention with every correspondence until torch.nn's algebra, or torch.nn's with
    known mistakes, gives the user's numbers; in float64, and in float32 where only that runs.

    Raises:
        CannotCheckError: it does not construct or run, or its parameters are not torch.nn's.
    """
    try:
        return _identify(make, kind, weights, FLOAT64)
    except _FixedDtypeError as error:
        try:
            return _identify(make, kind, weights, FLOAT32)
        except _FixedDtypeError:
            raise CannotCheckError(str(error)) from error


class _FixedDtypeError(CannotCheckError):
    """It does not run, or not in the dtype asked for."""


def _identify(
    make: Make, kind: Kind, weights: Mapping[str, str] | None, precision: Precision
) -> Subject:
    module = build(make, precision)
    fill_weights(module)
    with torch.no_grad(), working_in(precision):
        runs = all_trials(module, kind, precision)
        loaded = None
        if weights is None and hasattr(module, "load_from_torch"):
            first = runs[0][0][0].convention
            loaded = _drawn_weights(kind)
            load(module, kind, loaded, isinstance(first, CellConvention))
            loaded = Weights(*(part.to(precision.dtype) for part in loaded))
            runs = all_trials(module, kind, precision)
        correspondences = _correspondences(module, kind, weights, loaded is not None, runs)
        read = _read(module, correspondences, loaded)
        found = _search_all(kind, runs, correspondences, read, precision)
        beyond = ""
        if found is None and correspondences[0].extra:
            beyond = _what_is_beyond(module, kind, correspondences, precision)
    best = found or Finding(runs[0][0][0], correspondences[0], ())
    return Subject(
        make, kind, best.trial.convention, best.correspondence, best.made, found is not None,
        precision, loaded, beyond,
    )  # fmt: skip


def _what_is_beyond(
    module: nn.Module, kind: Kind, correspondences: Sequence[Correspondence], precision: Precision
) -> str:
    """What parameters without a place in torch.nn's cell do to this one.

    Raises:
        CannotCheckError: nothing that can be shown.
    """
    extra = correspondences[0].extra
    named = ", ".join(extra)
    owners = [module.get_submodule(name.rpartition(".")[0]) for name in extra]
    if all(isinstance(owner, NORMALIZATIONS) for owner in owners):
        return f"torch.nn's {kind.title} does not normalise, as {named} do here"
    for neutral in (0.0, 1.0):
        for name in extra:
            module.get_parameter(name).fill_(neutral)
        read = _read(module, correspondences, None)
        runs = all_trials(module, kind, precision)
        if _search_all(kind, runs, correspondences, read, precision) is not None:
            return f"torch.nn's {kind.title} has no {named}; with {neutral:g} there it is explained"
    raise CannotCheckError(
        f"torch.nn's {kind.title} has no place for {named}, so that the others' places cannot be "
        "judged: give weights={name: torch.nn's name}, or a method load_from_torch(module)"
    )


def _search_all(
    kind: Kind,
    runs: Runs,
    correspondences: Sequence[Correspondence],
    read: Weights,
    precision: Precision,
) -> Finding | None:
    """As a cell and as a layer: first without a mistake, then with."""
    for most in (0, 2):
        for trials, probe in runs:
            question = Question(
                kind, probe, trials, correspondences, read, tolerance=precision.reproduced
            )
            found = search(question, most)
            if found is not None:
                return found
    return None


def all_trials(module: nn.Module, kind: Kind, precision: Precision, time: int = TIME) -> Runs:
    """Every way in which the module runs: as a cell, and as a layer.

    Raises:
        CannotCheckError: in none.
    """
    attempts = Attempts(module)
    cell_probe = draw_probe(kind, time=time, dtype=precision.dtype)
    layer_probe = draw_probe(kind, cells=1, time=time, dtype=precision.dtype)
    runs = [
        (cell_trials(attempts, kind, cell_probe), cell_probe),
        (layer_trials(attempts, kind, layer_probe, takes_state(module)), layer_probe),
    ]
    runs = [(trials, probe) for trials, probe in runs if trials]
    if not runs or not any(_has_dtype(trial, precision) for trials, _ in runs for trial in trials):
        raise _FixedDtypeError(_why_not(module, attempts.errors))
    return runs


def _has_dtype(trial: Trial, precision: Precision) -> bool:
    return all(part.dtype == precision.dtype for part in trial.observed.values())


def takes_state(module: nn.Module) -> bool:
    """Whether forward has a second argument that can be a state, by its default."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return True
    return not (len(parameters) > 1 and isinstance(parameters[1].default, bool | int | str))


def _why_not(module: nn.Module, errors: Sequence[Exception]) -> str:
    """The user's own error that came up most often."""
    name = type(module).__name__
    own = [error for error in errors if own_place(error)]
    if own:
        counted = Counter((own_place(error), type(error)) for error in own)
        (place, kind), _ = counted.most_common(1)[0]
        error = next(e for e in own if (own_place(e), type(e)) == (place, kind))
        return f"{name}.forward raises: {own_line(error)}"
    if errors:
        return f"{name} cannot be called as a cell or as a layer: {type_and_message(errors[0])}"
    return (
        f"{name} runs, but returns nothing with the shape of a state or of outputs; tried as a "
        "cell that returns h or (h, c), with or without an output before it, and as a layer that "
        "returns outputs, final states or both"
    )


def _drawn_weights(kind: Kind) -> Weights:
    generator = torch.Generator().manual_seed(4)
    gates = len(kind.gates)
    shapes = (INPUT_SIZE,), (HIDDEN_SIZE,), (), (), (HIDDEN_SIZE,)
    ih, hh, b_ih, b_hh, none = (
        0.6 * torch.randn(gates, HIDDEN_SIZE, *shape, generator=generator, dtype=torch.float64)
        for shape in shapes
    )
    return Weights(ih, hh, b_ih, b_hh, torch.zeros_like(none))


def _correspondences(
    module: nn.Module,
    kind: Kind,
    weights: Mapping[str, str] | None,
    loads: bool,
    runs: Runs,
) -> list[Correspondence]:
    if weights is not None:
        return [given(module, kind, weights)]
    if loads:
        return [Correspondence(kind, ())]
    found = candidates(module, kind, unused_parameters(module, runs))
    if not found:
        listed = ", ".join(f"{n} {tuple(p.shape)}" for n, p in module.named_parameters()) or "none"
        raise CannotCheckError(
            f"no correspondence between {name_of(type(module))}'s parameters and torch.nn's was "
            f"found: with input_size {INPUT_SIZE} and hidden_size {HIDDEN_SIZE} they are {listed}; "
            f"tried stacked, fused, one per gate, joined, 3-D, transposed. Give weights={{name: "
            "torch.nn's name}, or a method load_from_torch(module); tensors that are no "
            "nn.Parameter are not seen"
        )
    return found


def unused_parameters(module: nn.Module, runs: Runs) -> tuple[str, ...]:
    """The parameters on which nothing depends that the module returns."""
    trials, probe = runs[0]
    named = {name: part for name, part in module.named_parameters() if part.requires_grad}
    try:
        with torch.enable_grad():
            shown = trials[0].convention.run(module, probe.copy())
            total = torch.stack([part.sum() for part in shown.values()]).sum()
            arrived = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    except Exception:  # no gradient at all: nothing can be said
        return ()
    return tuple(name for name, part in zip(named, arrived, strict=True) if part is None)


def _read(
    module: nn.Module, correspondences: Sequence[Correspondence], loaded: Weights | None
) -> Weights:
    if loaded is not None:
        return stack_weights([loaded])
    parameters = named_parameters(module)
    return stack_weights(
        [each.read(parameters, INPUT_SIZE, HIDDEN_SIZE) for each in correspondences]
    )


def square_probe_finds(make: Make, kind: Kind) -> Subject | None:
    """Try again with as many steps as samples, where axes mixed up raise no error.

    Returns what is found when the numbers are then torch.nn's along one of the two axes.
    """
    with torch.no_grad(), working_in(FLOAT64):
        try:
            module = build(make, FLOAT64)
            fill_weights(module)
            runs = all_trials(module, kind, FLOAT64, time=BATCH)
        except CannotCheckError:
            return None
        correspondences = candidates(module, kind)
        if not correspondences:
            return None
        read = _read(module, correspondences, None)
        for trials, probe in runs:
            question = Question(kind, probe, trials, correspondences, read, places=("square",))
            found = search(question, most=1)
            if found is not None and (not found.made or found.made[0].mistake.where == "square"):
                return Subject(
                    make, kind, found.trial.convention, found.correspondence, found.made, True
                )
    return None
