"""Identify the user's module, phase by phase, before anything is checked.

Construct it, discover how it is called, match its parameters with torch.nn's, and find all its
mistakes: in the outputs, in the gradients, in its options and in multi-layer configurations.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from cell_verifier.calling.arguments import Constructor, constructor_of
from cell_verifier.calling.construct import (
    CannotConstructError,
    ModuleFactory,
    construct_with_test_weights,
    default_dtype,
)
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.gradients import find_gradient_mistakes
from cell_verifier.identification.multi_layer import LayerMatch, match_layers
from cell_verifier.identification.options import (
    OptionMatch,
    match_batch_first,
    match_without_bias,
)
from cell_verifier.identification.outputs import identify_outputs, read_weights
from cell_verifier.identification.search import SearchProblem, search
from cell_verifier.identification.subject import Subject
from cell_verifier.identification.trials import NotACellError, find_trials
from cell_verifier.mistakes import CATALOGUE
from cell_verifier.mistakes.mistake import Change, Mistakes, Variant
from cell_verifier.parameters.candidates import candidates
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import BATCH, FLOAT64

CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
"""Modules that only hold others, and are never the recurrent part of a module."""


@dataclass(frozen=True)
class Identification:
    """Everything that is known of the user's module before the first check.

    Attributes:
        subject: its convention, its parameters and the mistakes in its outputs.
        gradient_mistakes: the further mistakes in its gradients; None if unknown.
        batch_first: what a layer is with each value of ``batch_first``.
        without_bias: what the module is with ``bias=False``; None if it has no such option.
        layers: what a layer is with several layers or directions, and with dropout.
    """

    subject: Subject
    gradient_mistakes: Mistakes | None = None
    batch_first: tuple[OptionMatch, ...] = ()
    without_bias: OptionMatch | None = None
    layers: tuple[LayerMatch, ...] = ()

    @property
    def mistakes(self) -> Mistakes:
        """All mistakes; those of an option or configuration only if their id is not there yet."""
        found = [*self.subject.mistakes, *(self.gradient_mistakes or ())]
        matches: tuple[OptionMatch | LayerMatch, ...] = (*self.batch_first, *self.layers)
        for match in matches:
            known = {each.id for each in found}
            found += [each for each in match.mistakes if each.id not in known]
        return tuple(found)

    @property
    def explained(self) -> bool:
        """Whether outputs and gradients match torch.nn's equations with the mistakes found."""
        return self.subject.explained and self.gradient_mistakes is not None


def identify(make: ModuleFactory, kind: Kind, mapping: Mapping[str, str] | None) -> Identification:
    """Identify the user's module in all phases.

    Args:
        mapping: the user's parameter names -> torch.nn's; None to match them by trial.

    Raises:
        CannotCheckError: it does not construct or run, or its parameters cannot be matched.
    """
    try:
        subject = identify_outputs(make, kind, mapping)
    except CannotConstructError:
        raise
    except CannotCheckError as error:
        square = None if mapping else _find_axis_mixup(make, kind, str(error))
        if square is not None:
            return Identification(square)
        more_than_a_cell = isinstance(error, NotACellError)
        part = _identify_part(constructor_of(make), kind, mapping) if more_than_a_cell else None
        if part is None:
            raise
        return part
    if not subject.explained:
        return Identification(subject, without_bias=match_without_bias(subject))
    return Identification(
        subject,
        find_gradient_mistakes(subject),
        tuple(match_batch_first(subject)),
        match_without_bias(subject),
        tuple(match_layers(subject)),
    )


def _identify_part(
    make: Constructor, kind: Kind, mapping: Mapping[str, str] | None
) -> Identification | None:
    """The first submodule that is torch.nn's recurrence, with or without known mistakes."""
    if make.part:
        return None
    whole = construct_with_test_weights(make, FLOAT64)
    if len(list(whole.children())) < 2:
        return None  # nothing to put aside: the module itself is wrong
    for path, part in whole.named_modules():
        matrices = [parameter for parameter in part.parameters() if parameter.dim() > 1]
        if path and len(matrices) > 1 and not isinstance(part, CONTAINERS):
            with suppress(CannotCheckError):
                found = identify(replace(make, part=path), kind, mapping)
                if found.subject.explained:
                    return found
    return None


def _find_axis_mixup(make: ModuleFactory, kind: Kind, error: str) -> Subject | None:
    """Identify a layer that runs only with T == B, because it confuses batch and time axes."""
    with torch.no_grad(), default_dtype(FLOAT64):
        try:
            module = construct_with_test_weights(make, FLOAT64)
            trial_sets = find_trials(module, kind, FLOAT64, time=BATCH)
        except CannotCheckError:
            return None
        found = candidates(module, kind)
        if not found:
            return None
        weights = read_weights(module, found, None)
        for each in trial_sets:
            problem = SearchProblem(
                kind, each.probe, each.trials, found, weights, scopes=("square",)
            )
            match = search(problem, max_mistakes=1)
            if match is not None and (
                not match.mistakes or match.mistakes[0].mistake.scope == "square"
            ):
                detail = Change("batch and time axes are confused in one line, not in the others")
                mixup = (Variant(CATALOGUE["batch-time-mixup"], detail),)
                return Subject(
                    make,
                    kind,
                    match.trial.convention,
                    match.correspondence,
                    match.mistakes or mixup,
                    explained=True,
                    axis_error=error,
                )
    return None
