"""Find how a cell or layer of any calling convention is called, so that other code can use it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cell_verifier.api import isolated_settings
from cell_verifier.calling.arguments import Constructor
from cell_verifier.calling.construct import construct_with_test_weights, default_dtype, name_of
from cell_verifier.calling.conventions import Convention
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.search import SearchProblem, search
from cell_verifier.identification.trials import TrialSet, find_trials, unused_parameters
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.reference.equations import stack_weights
from cell_verifier.reference.kinds import KINDS, Kind
from cell_verifier.reference.probes import FLOAT64, HIDDEN_SIZE, INPUT_SIZE


@dataclass(frozen=True)
class CallableCell:
    """A user's cell or layer, and how it is called.

    Attributes:
        make: constructs it from (input_size, hidden_size).
        kind: the recurrence that it computes.
        convention: how it is called and what it returns.
    """

    make: Constructor
    kind: Kind
    convention: Convention


def find_convention(make: Callable[..., Any]) -> CallableCell:
    """The calling convention under which a module computes torch.nn's RNN, GRU or LSTM.

    The module may have one mistake of the catalogue.

    Args:
        make: a class or function of (input_size, hidden_size).

    Raises:
        CannotCheckError: it does not construct, or there is no such convention.
    """
    constructor = Constructor(make)
    with isolated_settings(), torch.no_grad(), default_dtype(FLOAT64):
        module = construct_with_test_weights(constructor, FLOAT64)
        problems = []
        errors = []
        for kind in KINDS.values():
            try:
                sets = find_trials(module, kind, FLOAT64)
            except CannotCheckError as error:
                errors.append(error)
                continue
            problems += [_problem(module, kind, each) for each in sets]
        if not problems:
            raise errors[0]
        for max_mistakes in (0, 1):
            for problem in problems:
                match = search(problem, max_mistakes) if problem.correspondences else None
                if match is not None:
                    return CallableCell(constructor, problem.kind, match.trial.convention)
    raise CannotCheckError(f"{name_of(make)} computes none of torch.nn's RNN, GRU and LSTM")


def _problem(module: nn.Module, kind: Kind, trials: TrialSet) -> SearchProblem:
    found = candidates(module, kind, unused_parameters(module, trials))
    parameters = named_parameters(module)
    read = [each.read(parameters, INPUT_SIZE, HIDDEN_SIZE) for each in found]
    weights = stack_weights(read) if read else None
    return SearchProblem(
        kind,
        trials.probe,
        trials.trials,
        found,
        weights,  # type: ignore[arg-type]  # not read without a correspondence
        tolerance=FLOAT64.match,
    )
