"""Identify what the constructor's options ``batch_first`` and ``bias`` do."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from cell_verifier.calling.construct import (
    accepts_argument,
    construct_with_test_weights,
    declares_argument,
    default_dtype,
)
from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.calling.discover import CallAttempts, layer_trials
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.search import SearchProblem, search
from cell_verifier.identification.subject import Subject
from cell_verifier.identification.trials import find_trials
from cell_verifier.mistakes import CATALOGUE
from cell_verifier.mistakes.mistake import Change, Mistakes, Variant
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.reference.equations import stack_weights
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, draw_probe
from command_line.errors import own_line


@dataclass(frozen=True)
class OptionMatch:
    """What a module constructed with one option set is.

    Attributes:
        value: the value of the option.
        mistakes: the mistakes in addition to those in the subject's outputs.
        failure: why torch.nn's equations do not match, or why this is unknown; empty if they match.
        inconclusive: whether this shows nothing about the option.
    """

    value: bool
    mistakes: Mistakes = ()
    failure: str = ""
    inconclusive: bool = False


def match_batch_first(subject: Subject) -> Iterator[OptionMatch]:
    """What a layer is with each value of ``batch_first`` that it has or accepts."""
    if subject.is_cell:
        return
    if accepts_argument(subject.make, "batch_first"):
        for value in (False, True):
            yield _match_batch_first(subject, value, as_option=True)
        return
    attribute = getattr(subject.construct(), "batch_first", None)
    if isinstance(attribute, bool):
        yield _match_batch_first(subject, attribute, as_option=False)


def _match_batch_first(subject: Subject, value: bool, *, as_option: bool) -> OptionMatch:
    if subject.loaded is not None:
        return OptionMatch(value, failure="the weights were loaded", inconclusive=True)
    options = {"batch_first": value} if as_option else {}
    try:
        module = construct_with_test_weights(subject.make, subject.precision, **options)
    except CannotCheckError as error:
        return OptionMatch(value, failure=str(error))
    attempts = CallAttempts(module)
    probe = draw_probe(subject.kind, cells=1, dtype=subject.precision.dtype)
    with torch.no_grad(), default_dtype(subject.precision):
        problem = SearchProblem(
            subject.kind,
            probe,
            layer_trials(attempts, subject.kind, probe),
            [subject.correspondence],
            stack_weights([subject.weights(named_parameters(module))]),
            tolerance=subject.precision.match,
        )
        match = search(problem, max_mistakes=max(1, len(subject.mistakes)))
    if not problem.trials:
        raised = [f"raises: {own_line(error)}" for error in attempts.errors]
        return OptionMatch(value, failure=raised[0] if raised else "does not run")
    if match is None:
        return OptionMatch(value, failure="cause unknown")
    convention = match.trial.convention
    assert isinstance(convention, LayerConvention)
    if convention.batch_first != value:
        detail = f"with batch_first={value}, the loop runs over axis {int(not value)} of the input"
        mixup = Variant(CATALOGUE["batch-time-mixup"], Change(detail))
        return OptionMatch(value, (mixup,), failure=detail)
    known = {each.id for each in subject.mistakes}
    return OptionMatch(value, tuple(each for each in match.mistakes if each.id not in known))


def match_without_bias(subject: Subject) -> OptionMatch | None:
    """What a module with ``bias=False`` is; None if the constructor does not accept ``bias``."""
    if subject.loaded is not None or not accepts_argument(subject.make, "bias"):
        return None
    try:
        module = construct_with_test_weights(subject.make, subject.precision, bias=False)
        with torch.no_grad(), default_dtype(subject.precision):
            return _match_without_bias(subject, module)
    except CannotCheckError as error:
        inherited = not declares_argument(subject.make, "bias")
        return OptionMatch(False, failure=str(error), inconclusive=inherited)


def _match_without_bias(subject: Subject, module: nn.Module) -> OptionMatch:
    without = [each for each in candidates(module, subject.kind) if not each.bias_count()]
    if not without:
        return OptionMatch(False, failure="parameters other than the weights remain")
    parameters = named_parameters(module)
    weights = stack_weights([each.read(parameters, INPUT_SIZE, HIDDEN_SIZE) for each in without])
    for trial_set in find_trials(module, subject.kind, subject.precision):
        problem = SearchProblem(
            subject.kind,
            trial_set.probe,
            trial_set.trials,
            without,
            weights,
            tolerance=subject.precision.match,
        )
        match = search(problem, max_mistakes=len(subject.mistakes))
        if match is not None:
            return OptionMatch(False, match.mistakes)
    return OptionMatch(False, failure="differs")
