"""Identify layers of several cells: two layers, two directions, dropout between layers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.calling.construct import (
    accepts_argument,
    construct_with_test_weights,
    declares_argument,
    default_dtype,
)
from cell_verifier.calling.conventions import LayerConvention, state_words
from cell_verifier.calling.multi_layer import missing_parts, run_multi_layer
from cell_verifier.calling.nested_tensors import leaves
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.subject import Subject
from cell_verifier.identification.summed import way_of_merging
from cell_verifier.mistakes import variants
from cell_verifier.mistakes.mistake import Mistakes, apply_to_weights, compatible, stages_of
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.parameters.multi_layer import Arrangement, arrangements
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, Probe, draw_probe
from cell_verifier.reference.simulate import (
    LayerConfig,
    RunResult,
    max_relative_difference,
    run_layer,
)
from command_line.errors import own_line

CONFIGS = (LayerConfig(2, 1), LayerConfig(1, 2), LayerConfig(2, 2), LayerConfig(3, 1))


@dataclass(frozen=True)
class LayerRun:
    """A multi-layer module with the random test weights, and what it returned for a probe.

    Attributes:
        parameters: the module's parameters by name.
        training: whether it ran in training mode.
        arrangement: which of its parameters are which cell's.
    """

    parameters: dict[str, Tensor]
    training: bool
    probe: Probe
    observed: RunResult
    arrangement: Arrangement

    @property
    def weights(self) -> list[Weights]:
        """The weights of each cell, in torch.nn's order."""
        return self.arrangement.read(self.parameters)


@dataclass(frozen=True)
class LayerMatch:
    """What a layer with several layers or directions, or with dropout, is.

    Attributes:
        config: the configuration.
        matched: whether torch.nn's equations, with mistakes, match its outputs.
        mistakes: these mistakes, in addition to those in the subject's outputs.
        run: its run; None if it cannot be compared with torch.nn's.
        failure: why it cannot be compared.
        raised: whether it raises.
        inconclusive: whether a failure or a difference shows nothing about the module.
        inherited: whether it ignores an argument that only its base class declares.
    """

    config: LayerConfig
    matched: bool = False
    mistakes: Mistakes = ()
    run: LayerRun | None = None
    failure: str = ""
    raised: bool = False
    inconclusive: bool = False
    inherited: bool = False


def match_layers(subject: Subject) -> Iterator[LayerMatch]:
    """What the module is in every configuration that its constructor accepts."""
    if subject.is_cell or subject.loaded is not None:
        return
    several = accepts_argument(subject.make, "num_layers")
    both = accepts_argument(subject.make, "bidirectional")
    for config in CONFIGS:
        if (several or config.num_layers == 1) and (both or config.num_directions == 1):
            yield _match_config(subject, config)
    if accepts_argument(subject.make, "dropout"):
        for training in (True, False):
            layers = 2 if several else 1
            yield _match_config(subject, LayerConfig(layers, dropout=1.0, training=training))


def options_of(config: LayerConfig) -> dict[str, Any]:
    """The constructor's arguments for a configuration."""
    options: dict[str, Any] = {}
    if config.num_layers > 1:
        options["num_layers"] = config.num_layers
    if config.num_directions > 1:
        options["bidirectional"] = True
    if config.dropout:
        options["dropout"] = config.dropout
    return options


def _match_config(subject: Subject, config: LayerConfig) -> LayerMatch:
    match = _match_with_input_size(subject, config, INPUT_SIZE)
    if match.raised:
        # A later layer that reads x instead of h requires input_size == hidden_size.
        square = _match_with_input_size(subject, config, HIDDEN_SIZE)
        match = square if square.mistakes else match
    return _with_inherited_options(subject, match)


def _with_inherited_options(subject: Subject, match: LayerMatch) -> LayerMatch:
    """Mark an option inherited from a base class that the subject ignores: not a failure."""
    options = options_of(match.config)
    if match.matched or all(declares_argument(subject.make, option) for option in options):
        return match
    if match.raised or _has_no_effect(subject, match.config):
        return replace(match, inconclusive=True, inherited=True)
    return match


def _has_no_effect(subject: Subject, config: LayerConfig) -> bool:
    """Whether the parameters of the other cells, or the dropout, change nothing."""
    assert isinstance(subject.convention, LayerConvention)
    first = named_parameters(subject.construct())
    module = construct_with_test_weights(subject.make, subject.precision, **options_of(config))
    probe = draw_probe(subject.kind, cells=config.num_cells, dtype=subject.precision.dtype)
    with torch.no_grad(), default_dtype(subject.precision):
        try:
            (before, *_) = run_multi_layer(module, subject.convention, probe, config)
            module.train(bool(config.applied_dropout))
            for name, parameter in module.named_parameters():
                if not config.dropout and name not in first:
                    parameter.add_(1.0)
            (after, *_) = run_multi_layer(module, subject.convention, probe, config)
        except Exception:  # an option that makes the module raise has an effect
            return False
    return max_relative_difference(after, before) == 0.0


def _match_with_input_size(subject: Subject, config: LayerConfig, input_size: int) -> LayerMatch:
    try:
        module = construct_with_test_weights(
            subject.make, subject.precision, input_size, **options_of(config)
        )
    except CannotCheckError as error:
        return LayerMatch(config, failure=str(error), raised=True)
    module.train(bool(config.applied_dropout))
    parameters = named_parameters(module)
    single = list(named_parameters(subject.construct()))
    found = list(arrangements(subject.correspondence, single, parameters, config, input_size))
    if not found:
        return _without_arrangement(config, len(parameters), len(single))
    with torch.no_grad(), default_dtype(subject.precision):
        return _run_and_match(subject, config, module, input_size, found)


def _without_arrangement(config: LayerConfig, count: int, single_count: int) -> LayerMatch:
    if count == single_count and not config.dropout:
        return LayerMatch(config, failure="has no more parameters than a single cell")
    failure = "the parameters of the single cells were not found in the multi-layer module"
    return LayerMatch(config, failure=failure, inconclusive=True)


def _run_and_match(
    subject: Subject,
    config: LayerConfig,
    module: nn.Module,
    input_size: int,
    found: Sequence[Arrangement],
) -> LayerMatch:
    convention = subject.convention
    assert isinstance(convention, LayerConvention)
    probe = draw_probe(
        subject.kind, cells=config.num_cells, input_size=input_size, dtype=subject.precision.dtype
    )
    probe = convention.received(probe)
    try:
        observed = run_multi_layer(module, convention, probe, config)
    except Exception as error:
        shared = _match_shared_state(subject, config, module, probe, found)
        return shared or LayerMatch(config, failure=f"raises: {own_line(error)}", raised=True)
    parameters = named_parameters(module)
    runs = [
        LayerRun(parameters, module.training, probe, each, arrangement)
        for each in observed
        for arrangement in found
    ]
    complete = [run for run in runs if not missing_parts(convention, run.observed)]
    if not complete:
        shared = _match_shared_state(subject, config, module, probe, found)
        merged = _merging(subject, config, module, probe, found)
        return shared or LayerMatch(config, failure=merged or _shape_failure(convention, config))
    match = _first_match(subject, config, complete)
    run, mistakes = match or (complete[0], ())
    if not run.arrangement.has_torch_input_sizes(config):
        failure = "the input weight of a later layer has another width than torch.nn's"
        return LayerMatch(config, match is not None, mistakes, failure=failure)
    return LayerMatch(config, match is not None, mistakes, run)


def _match_shared_state(
    subject: Subject,
    config: LayerConfig,
    module: nn.Module,
    probe: Probe,
    found: Sequence[Arrangement],
) -> LayerMatch | None:
    """The match of a layer that takes one state (B, H) for all its cells; None if it is not one.

    It is called with the first row of the state, and only its outputs are compared.
    """
    convention = subject.convention
    assert isinstance(convention, LayerConvention)
    if not convention.takes_state or convention.state_axis != "flat":
        return None
    first_row = Probe(probe.x, tuple(part[:1] for part in probe.state))
    try:
        observed = run_multi_layer(module, convention, first_row, config)
    except Exception:  # it does not take such a state
        return None
    parameters = named_parameters(module)
    runs = [
        LayerRun(parameters, module.training, probe, {"output": each["output"]}, arrangement)
        for each in observed
        for arrangement in found
        if "output" in each
    ]
    match = _first_match(subject, config, runs)
    failure = _shape_failure(convention, config)
    return LayerMatch(config, True, match[1], failure=failure) if match else None


def _merging(
    subject: Subject,
    config: LayerConfig,
    module: nn.Module,
    probe: Probe,
    found: Sequence[Arrangement],
) -> str:
    """How the layer merges two directions that torch.nn concatenates, in words; or ""."""
    convention = subject.convention
    assert isinstance(convention, LayerConvention)
    if config.num_directions == 1 or convention.output is None:
        return ""
    output = leaves(convention.call(module, probe))[convention.output]
    output = output.transpose(0, 1) if convention.batch_first else output
    for arrangement in found:
        weights = arrangement.read(named_parameters(module))
        both = run_layer(subject.kind, weights, probe, {}, config)["output"]
        way = way_of_merging(output, both, subject.precision)
        if way:
            return way
    return ""


def _shape_failure(convention: LayerConvention, config: LayerConfig) -> str:
    """What a layer of several cells has to return, in words."""
    parts = state_words(convention.kind)
    rows = f"({config.num_cells}, B, H): one row for each layer and direction"
    output = "outputs (T, B, {}) and ".format("2 * H" if config.num_directions == 2 else "H")
    wanted = (output if convention.output is not None else "") + f"a final state {parts} of shape"
    if not convention.state:
        return "does not return outputs of torch.nn's shape"
    return f"does not return what torch.nn's does: {wanted} {rows}"


def _first_match(
    subject: Subject, config: LayerConfig, runs: Sequence[LayerRun]
) -> tuple[LayerRun, Mistakes] | None:
    """The arrangement, and the mistakes in addition to the subject's, that match the outputs."""
    known = [
        each
        for each in variants(subject.kind.name, "multi-layer")
        if (each.id == "dropout-on-last-layer") == bool(config.applied_dropout)
    ]
    pairs = [pair for pair in combinations(known, 2) if compatible(*pair)]
    for more in ((), *((each,) for each in known), *pairs):
        for run in runs:
            if (more or run.arrangement.has_torch_input_sizes(config)) and _matches(
                subject, config, run, (*subject.mistakes, *more)
            ):
                return run, more
    return None


def _matches(subject: Subject, config: LayerConfig, run: LayerRun, mistakes: Mistakes) -> bool:
    assert isinstance(subject.convention, LayerConvention)
    config = replace(config, batch_first=subject.convention.batch_first)
    weights = [apply_to_weights(mistakes, each) for each in run.weights]
    try:
        simulated = run_layer(subject.kind, weights, run.probe, stages_of(mistakes), config)
    except RuntimeError:  # the widths of this arrangement do not fit these mistakes
        return False
    return max_relative_difference(run.observed, simulated) <= subject.precision.match
