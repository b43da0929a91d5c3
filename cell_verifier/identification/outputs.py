"""Identify what the user's module computes: its outputs, and the mistakes in them.

Construct the module, discover how it is called, match its parameters with torch.nn's, and search
the mistakes with which torch.nn's equations give its outputs.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from cell_verifier.calling.construct import (
    ModuleFactory,
    construct_with_test_weights,
    default_dtype,
    name_of,
)
from cell_verifier.calling.conventions import CellConvention
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.behaviour import (
    draws_random_numbers,
    keeps_values,
    normalizes,
)
from cell_verifier.identification.search import Match, SearchProblem, search
from cell_verifier.identification.subject import Subject, load_weights
from cell_verifier.identification.summed import merged_directions
from cell_verifier.identification.trials import (
    FixedDtypeError,
    NotACellError,
    TrialSet,
    find_trials,
    unused_parameters,
)
from cell_verifier.identification.variants import VARIANT, known_variant
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import Correspondence, named_parameters
from cell_verifier.parameters.explicit import parse_mapping
from cell_verifier.reference.equations import Weights, stack_weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import (
    FLOAT32,
    FLOAT64,
    HIDDEN_SIZE,
    INPUT_SIZE,
    Precision,
)

DRAWS_RANDOM_NUMBERS = (
    "returns other values at every call with the same arguments, unlike torch.nn's: it draws "
    "random numbers in its forward pass (a random initial state, or dropout in eval mode)"
)
KEEPS_VALUES = (
    "returns other values when called again with the same arguments, unlike torch.nn's: it keeps "
    "values from one call to the next"
)


def identify_outputs(make: ModuleFactory, kind: Kind, mapping: Mapping[str, str] | None) -> Subject:
    """Convention, correspondence and output mistakes, in float64 or else in float32.

    Raises:
        CannotCheckError: it does not construct or run, or its parameters cannot be matched.
    """
    try:
        return _identify_in(FLOAT64, make, kind, mapping)
    except NotACellError:
        raise
    except FixedDtypeError as error:
        try:
            return _identify_in(FLOAT32, make, kind, mapping)
        except FixedDtypeError:
            raise CannotCheckError(str(error)) from error


def _identify_in(
    precision: Precision, make: ModuleFactory, kind: Kind, mapping: Mapping[str, str] | None
) -> Subject:
    module = construct_with_test_weights(make, precision)
    with torch.no_grad(), default_dtype(precision):
        trial_sets = find_trials(module, kind, precision)
        first, probe = trial_sets[0].trials[0], trial_sets[0].probe
        if mapping is None and draws_random_numbers(module, first, probe):
            unmatched = Match(first, Correspondence(kind, ()), ())
            return _subject(make, kind, unmatched, precision, cause=DRAWS_RANDOM_NUMBERS)
        loaded = None
        if mapping is not None:
            correspondences = [parse_mapping(module, kind, mapping)]
        elif hasattr(module, "load_from_torch"):
            loaded = _load_drawn_weights(module, kind, precision, trial_sets[0])
            trial_sets = find_trials(module, kind, precision)
            correspondences = [Correspondence(kind, ())]
        else:
            correspondences = candidates(module, kind, unused_parameters(module, trial_sets[0]))
        if not correspondences:
            match = _search_with_output_aside(module, kind, trial_sets, precision)
            if match is not None:
                return _subject(make, kind, match, precision, explained=True)
            other, found = _other_recurrence(module, kind, trial_sets, precision)
            if not other:
                raise CannotCheckError(_why_not_matched(module))
            return _subject(make, kind, Match(first, found, ()), precision, cause=other)
        weights = read_weights(module, correspondences, loaded)
        compared = [each.select(aside_may_be_h=False) for each in trial_sets]
        match = _search_all(kind, compared, correspondences, weights, precision)
        if match is None and mapping is None and loaded is None:
            match = _search_with_output_aside(module, kind, trial_sets, precision)
        cause = ""
        if match is None:
            other, found = _other_recurrence(module, kind, trial_sets, precision)
            if other:
                return _subject(make, kind, Match(first, found, ()), precision, cause=other)
            cause = _cause_of_difference(module, kind, trial_sets[0], correspondences, precision)
    best = match or Match(trial_sets[0].trials[0], correspondences[0], ())
    return _subject(make, kind, best, precision, match is not None, loaded, cause)


def _other_recurrence(
    module: nn.Module, kind: Kind, trial_sets: Sequence[TrialSet], precision: Precision
) -> tuple[str, Correspondence]:
    """The recurrence that the module is instead of torch.nn's, in words, or ""; its weights."""
    merged = merged_directions(module, kind, trial_sets, precision)
    if merged:
        return merged, Correspondence(kind, ())
    return known_variant(module, kind, trial_sets, precision)


def _subject(
    make: ModuleFactory,
    kind: Kind,
    match: Match,
    precision: Precision,
    explained: bool = False,
    loaded: Weights | None = None,
    cause: str = "",
) -> Subject:
    return Subject(
        make,
        kind,
        match.trial.convention,
        match.correspondence,
        match.mistakes,
        explained,
        precision,
        loaded,
        cause,
    )


def _search_with_output_aside(
    module: nn.Module, kind: Kind, trial_sets: Sequence[TrialSet], precision: Precision
) -> Match | None:
    """Search with only the states compared, for a module whose output is not h."""
    for each in trial_sets:
        aside = each.select(aside_may_be_h=True)
        if not aside.trials:
            continue
        found = candidates(module, kind, unused_parameters(module, aside))
        if not found:
            continue
        weights = read_weights(module, found, None)
        problem = SearchProblem(
            kind, aside.probe, aside.trials, found, weights, tolerance=precision.match
        )
        match = search(problem, max_mistakes=1)
        if match is not None:
            return match
    return None


def _cause_of_difference(
    module: nn.Module,
    kind: Kind,
    trials: TrialSet,
    correspondences: Sequence[Correspondence],
    precision: Precision,
) -> str:
    """What the module does that none of torch.nn's does; empty if that is unknown.

    Raises:
        CannotCheckError: it has parameters without a counterpart, and setting them to 0 or to 1
            does not reproduce torch.nn's outputs.
    """
    trial, probe = trials.trials[0], trials.probe
    if keeps_values(module, trial, probe):
        return KEEPS_VALUES
    unused = unused_parameters(module, trials)
    extra = [name for name in correspondences[0].extra if name not in unused]
    if normalizes(module, trial, probe):
        named = f": {', '.join(extra)}" if extra else ""
        return (
            f"{VARIANT}a normalized {kind.title}, such as a layer-normalized one: torch.nn's "
            f"{kind.title} has no normalization layer, unlike this module{named}"
        )
    return _explain_extra_parameters(module, kind, correspondences, precision) if extra else ""


def _search_all(
    kind: Kind,
    trial_sets: Sequence[TrialSet],
    correspondences: Sequence[Correspondence],
    weights: Weights,
    precision: Precision,
) -> Match | None:
    """Search as a cell and as a layer: first without a mistake, then with up to two."""
    for max_mistakes in (0, 2):
        for each in trial_sets:
            problem = SearchProblem(
                kind, each.probe, each.trials, correspondences, weights, tolerance=precision.match
            )
            match = search(problem, max_mistakes)
            if match is not None:
                return match
    return None


def _why_not_matched(module: nn.Module) -> str:
    """The reason for a module whose parameters cannot be matched, in words."""
    shapes = ", ".join(f"{n} {tuple(p.shape)}" for n, p in module.named_parameters()) or "none"
    return (
        f"the parameters of {name_of(type(module))} do not match torch.nn's: with input_size "
        f"{INPUT_SIZE} and hidden_size {HIDDEN_SIZE} they are {shapes}; tried stacked, fused, "
        "one per gate, joined, 3-D and transposed. Pass weights={name: torch.nn's name}, or "
        "define load_from_torch(module); tensors that are not nn.Parameter are ignored"
    )


def read_weights(
    module: nn.Module, correspondences: Sequence[Correspondence], loaded: Weights | None
) -> Weights:
    """The weights of every correspondence, along a first axis.

    Args:
        loaded: the weights that ``load_from_torch`` has loaded, or None to read the parameters.
    """
    if loaded is not None:
        return stack_weights([loaded])
    parameters = named_parameters(module)
    return stack_weights(
        [each.read(parameters, INPUT_SIZE, HIDDEN_SIZE) for each in correspondences]
    )


def _load_drawn_weights(
    module: nn.Module, kind: Kind, precision: Precision, trials: TrialSet
) -> Weights:
    """Draw weights and load them with the module's ``load_from_torch``."""
    generator = torch.Generator().manual_seed(4)
    gates = len(kind.gates)
    shapes = (INPUT_SIZE,), (HIDDEN_SIZE,), (), (), (HIDDEN_SIZE,)
    ih, hh, b_ih, b_hh, peephole = (
        0.6 * torch.randn(gates, HIDDEN_SIZE, *shape, generator=generator, dtype=torch.float64)
        for shape in shapes
    )
    drawn = Weights(ih, hh, b_ih, b_hh, torch.zeros_like(peephole))
    load_weights(module, kind, drawn, isinstance(trials.trials[0].convention, CellConvention))
    return Weights(*(part.to(precision.dtype) for part in drawn))


def _explain_extra_parameters(
    module: nn.Module, kind: Kind, correspondences: Sequence[Correspondence], precision: Precision
) -> str:
    """Explain the parameters without a torch.nn counterpart.

    Raises:
        CannotCheckError: setting them to 0 or to 1 does not reproduce torch.nn's outputs.
    """
    extra = correspondences[0].extra
    named = ", ".join(extra)
    for neutral in (0.0, 1.0):
        for name in extra:
            module.get_parameter(name).fill_(neutral)
        weights = read_weights(module, correspondences, None)
        trial_sets = find_trials(module, kind, precision)
        if _search_all(kind, trial_sets, correspondences, weights, precision) is not None:
            return (
                f"torch.nn's {kind.title} has no counterpart of {named}; setting it to "
                f"{neutral:g} reproduces torch.nn's outputs"
            )
    raise CannotCheckError(
        f"torch.nn's {kind.title} has no counterpart of {named}, so the other parameters cannot be "
        "matched: pass weights={name: torch.nn's name}, or define load_from_torch(module)"
    )
