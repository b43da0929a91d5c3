"""The user's module once its convention, its parameters and its output mistakes are known."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_verifier.calling.construct import (
    ModuleFactory,
    construct_module,
    construct_with_test_weights,
    default_dtype,
)
from cell_verifier.calling.conventions import CellConvention, Convention, LayerConvention
from cell_verifier.errors import CannotCheckError
from cell_verifier.mistakes.mistake import Mistakes, apply_to_weights, stages_of
from cell_verifier.parameters.correspondence import Correspondence, named_parameters
from cell_verifier.reference.equations import Weights
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
)
from cell_verifier.reference.simulate import LayerConfig, RunResult, run_cell, run_layer
from cell_verifier.reference.torch_modules import (
    run_torch_cell,
    run_torch_layer,
    torch_module,
    torch_weights,
)
from command_line.errors import own_line


@dataclass(frozen=True)
class Subject:
    """The user's class or function, and what is known of the modules that it constructs.

    Attributes:
        make: the user's class or function.
        kind: the recurrence that it should equal.
        convention: how the modules are called.
        correspondence: which parameters are which of torch.nn's.
        mistakes: the mistakes with which torch.nn's equations match the outputs.
        explained: whether torch.nn's equations, with these mistakes, match the outputs.
        precision: float64, or float32 for a module that runs only in float32.
        loaded: torch.nn's weights, if the module's own ``load_from_torch`` loads them.
        cause: what the module does that none of torch.nn's does, if that is known.
        axis_error: the error for T != B, for a layer that runs only with T == B.
    """

    make: ModuleFactory
    kind: Kind
    convention: Convention
    correspondence: Correspondence
    mistakes: Mistakes
    explained: bool
    precision: Precision = FLOAT64
    loaded: Weights | None = None
    cause: str = ""
    axis_error: str = ""

    @property
    def is_cell(self) -> bool:
        return isinstance(self.convention, CellConvention)

    @property
    def has_weights(self) -> bool:
        """Whether it is known which of the module's parameters are torch.nn's weights."""
        return self.loaded is not None or bool(self.correspondence.placements)

    def construct(self, precision: Precision | None = None) -> nn.Module:
        """A new module with the random test weights."""
        precision = precision or self.precision
        if self.loaded is None:
            return construct_with_test_weights(self.make, precision)
        module = construct_module(self.make, precision)
        load_weights(module, self.kind, self.loaded, self.is_cell)
        return module

    def experiment(self, probe: Probe, precision: Precision | None = None) -> "Experiment":
        """A new module with the random test weights, to run on the probe."""
        return Experiment(self, self.construct(precision), probe)

    def probe(
        self,
        *,
        time: int = TIME,
        batch: int = BATCH,
        dtype: torch.dtype | None = None,
        seed: int = 3,
    ) -> Probe:
        """A random probe; what the module does not take of its state is zero."""
        cells = 0 if self.is_cell else 1
        dtype = dtype or self.precision.dtype
        probe = draw_probe(self.kind, cells=cells, time=time, batch=batch, dtype=dtype, seed=seed)
        return self.convention.received(probe)

    def weights(self, parameters: Mapping[str, Tensor]) -> Weights:
        """torch.nn's weights as views of these parameters of a module of one cell."""
        if self.loaded is not None:
            dtype = next(iter(parameters.values())).dtype
            return Weights(*(part.to(dtype) for part in self.loaded))
        return self.correspondence.read(parameters, INPUT_SIZE, HIDDEN_SIZE)

    def observed_names(self) -> tuple[str, ...]:
        """The names of what the module returns: ``output`` and parts of the state."""
        if isinstance(self.convention, CellConvention):
            own = ("output",) if self.convention.return_layout.output is not None else ()
            return (*own, *self.kind.state)
        assert isinstance(self.convention, LayerConvention)
        own = ("output",) if self.convention.output is not None else ()
        return (*own, *self.kind.state[: len(self.convention.state)])


@dataclass(frozen=True)
class Experiment:
    """A new module with the random test weights, and a probe.

    The probe can run through the user's module, torch.nn's, and torch.nn's equations with mistakes;
    all three results have the same names and shapes.
    """

    subject: Subject
    module: nn.Module
    probe: Probe

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters of the user's module by name."""
        return named_parameters(self.module)

    def run_user(self, probe: Probe | None = None, stateless: bool = False) -> RunResult:
        """Run the user's module, on a copy of the experiment's probe or on exactly ``probe``."""
        with default_dtype(FLOAT32 if self.probe.x.dtype == torch.float32 else FLOAT64):
            return self.subject.convention.run(
                self.module, self.probe.copy() if probe is None else probe, stateless
            )

    def run_torch(self) -> RunResult:
        """Run torch.nn's module on the same weights and probe."""
        weights = self.subject.weights(self.parameters)
        if self.subject.is_cell:
            return run_torch_cell(self.subject.kind, weights, self.probe)
        return run_torch_layer(self.subject.kind, [weights], self.probe, LayerConfig())

    def run_simulated(self, mistakes: Mistakes) -> RunResult:
        """Run torch.nn's equations with mistakes on the same weights and probe."""
        kind, convention = self.subject.kind, self.subject.convention
        weights = apply_to_weights(mistakes, self.subject.weights(self.parameters))
        if isinstance(convention, LayerConvention):
            config = LayerConfig(batch_first=convention.batch_first)
            return run_layer(kind, [weights], self.probe, stages_of(mistakes), config)
        return run_cell(kind, weights, self.probe, stages_of(mistakes))


def load_weights(module: nn.Module, kind: Kind, weights: Weights, is_cell: bool) -> None:
    """Load torch.nn's weights into the user's module with its own ``load_from_torch``.

    Raises:
        CannotCheckError: ``load_from_torch`` raises.
    """
    config = None if is_cell else LayerConfig()
    source = torch_module(kind, weights, config).to(weights.ih.dtype)
    source.load_state_dict(torch_weights([weights], None if is_cell else 1))
    source = source.to(next(module.parameters()).dtype)
    try:
        with torch.no_grad():
            module.load_from_torch(source)  # type: ignore[operator]  # an attribute of a Module
    except Exception as error:
        raise CannotCheckError(f"load_from_torch raises: {own_line(error)}") from error
