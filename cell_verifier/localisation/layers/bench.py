"""Run a layer of several cells with interventions and compare it with torch.nn's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from cell_verifier.calling.construct import construct_with_test_weights, default_dtype
from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.calling.multi_layer import missing_parts, run_multi_layer
from cell_verifier.identification.multi_layer import LayerMatch, options_of
from cell_verifier.identification.subject import Subject
from cell_verifier.localisation.bench import STEPS
from cell_verifier.localisation.layers.fields import Field, compute_fields
from cell_verifier.localisation.recorder import CALL, Interventions, Operation
from cell_verifier.localisation.recorder import run as run_with
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.parameters.multi_layer import Arrangement
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.probes import Probe, draw_probe
from cell_verifier.reference.simulate import LayerConfig, RunResult, max_relative_difference
from cell_verifier.reference.torch_modules import run_torch_layer

BATCH = 7
"""Samples: a size that no other axis has."""


@dataclass(frozen=True)
class LayerCall:
    """How the module is called with the states of several cells; it has the form of a convention.

    Attributes:
        interpretation: which of the interpretations of what the module returns is compared.
    """

    convention: LayerConvention
    config: LayerConfig
    interpretation: int = 0

    def run(self, module: nn.Module, probe: Probe) -> RunResult:
        found = run_multi_layer(module, self.convention, probe, self.config)
        complete = [each for each in found if not missing_parts(self.convention, each)]
        return complete[self.interpretation]


@dataclass(frozen=True)
class LayerBench:
    """The user's module in one configuration, a probe and torch.nn's values for it."""

    subject: Subject
    match: LayerMatch
    arrangement: Arrangement
    input_size: int
    seed: int = 11
    interpretation: int = 0

    @property
    def config(self) -> LayerConfig:
        return self.match.config

    @property
    def training(self) -> bool:
        return self.match.run is not None and self.match.run.training

    @cached_property
    def module(self) -> nn.Module:
        module = construct_with_test_weights(
            self.subject.make, self.subject.precision, self.input_size, **options_of(self.config)
        )
        return module.train(self.training)

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        return named_parameters(self.module)

    @cached_property
    def weights(self) -> list[Weights]:
        return self.arrangement.read(self.parameters)

    @cached_property
    def probe(self) -> Probe:
        probe = draw_probe(
            self.subject.kind,
            cells=self.config.num_cells,
            time=STEPS,
            batch=BATCH,
            input_size=self.input_size,
            dtype=self.subject.precision.dtype,
            seed=self.seed,
        )
        return self.subject.convention.received(probe)

    @cached_property
    def expected(self) -> RunResult:
        with torch.no_grad():
            return run_torch_layer(
                self.subject.kind, self.weights, self.probe, self.config, self.training
            )

    @cached_property
    def fields(self) -> list[Field]:
        """torch.nn's values."""
        with torch.no_grad():
            return compute_fields(self.subject.kind, self.weights, self.probe, self.config)

    def field_named(self, name: str) -> Field:
        return next(each for each in self.fields if each.name == name)

    @cached_property
    def operations(self) -> list[Operation]:
        """The operations of the call that is compared; empty if the module raises."""
        operations = self.run(Interventions(), record=True)[1]
        calls = [n for n, each in enumerate(operations) if each.name == CALL]
        return operations[calls[-1] + 1 :] if calls else operations

    def with_seed(self, seed: int) -> "LayerBench":
        return replace(self, seed=seed)

    def is_right(self, interventions: Interventions) -> bool:
        """Whether the module gives torch.nn's values with interventions."""
        observed, _ = self.run(interventions)
        difference = max_relative_difference(observed, self.expected)
        return bool(observed) and difference <= self.subject.precision.match

    def run(
        self, interventions: Interventions, *, record: bool = False
    ) -> tuple[RunResult, list[Operation]]:
        convention = self.subject.convention
        assert isinstance(convention, LayerConvention)
        call = LayerCall(convention, self.config, self.interpretation)
        try:
            with default_dtype(self.subject.precision):
                return run_with(self.module, call, self.probe, interventions, record=record)
        except Exception:  # an intervention can make the user's code raise
            return {}, []


def names_of_parameters(bench: LayerBench) -> Mapping[str, tuple[int, str]]:
    """For each parameter, the index of its cell and the name of the same one of a single cell."""
    return {
        name: (cell, base)
        for cell, names in enumerate(bench.arrangement.names)
        for base, name in names.items()
    }
