"""The user's module, once it is known how to call it and what its parameters are."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_verifier.calling.construct import Make, build, working_in
from cell_verifier.calling.conventions import CellConvention, Convention, LayerConvention
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.search import Made
from cell_verifier.mistakes.catalogue import stages_of, weights_of
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
    fill_weights,
)
from cell_verifier.reference.simulate import Observation, Stack, run_cell, run_layer
from cell_verifier.reference.torch_modules import (
    run_torch_cell,
    run_torch_layer,
    torch_module,
    torch_weights,
)
from command_line.errors import own_line


@dataclass(frozen=True)
class Subject:
    """What is known of the user's class or function.

    Attributes:
        make: the user's class or function.
        convention: how its modules are called.
        correspondence: where torch.nn's weights are.
        made: the mistakes that reproduce its numbers; empty if none are needed.
        explained: whether those numbers are reproduced at all.
        precision: float64, or float32 for a module that knows no other.
        loaded: torch.nn's weights, where the module's own ``load_from_torch`` takes them.
        beyond: what parameters do that torch.nn has no place for.
    """

    make: Make
    kind: Kind
    convention: Convention
    correspondence: Correspondence
    made: Made
    explained: bool
    precision: Precision = FLOAT64
    loaded: Weights | None = None
    beyond: str = ""

    @property
    def is_cell(self) -> bool:
        return isinstance(self.convention, CellConvention)

    def build(self, precision: Precision | None = None) -> nn.Module:
        """A fresh module with the usual random weights."""
        module = build(self.make, precision or self.precision)
        if self.loaded is None:
            fill_weights(module)
        else:
            load(module, self.kind, self.loaded, self.is_cell)
        return module

    def weights(self, parameters: Mapping[str, Tensor]) -> Weights:
        """torch.nn's weights, as views of these parameters of a module of one cell."""
        if self.loaded is not None:
            dtype = next(iter(parameters.values())).dtype
            return Weights(*(part.to(dtype) for part in self.loaded))
        return self.correspondence.read(parameters, INPUT_SIZE, HIDDEN_SIZE)

    def probe(
        self,
        *,
        time: int = TIME,
        batch: int = BATCH,
        dtype: torch.dtype | None = None,
        seed: int = 3,
    ) -> Probe:
        """A random probe; its state is zero where the module takes none."""
        cells = 0 if self.is_cell else 1
        dtype = dtype or self.precision.dtype
        probe = draw_probe(self.kind, cells=cells, time=time, batch=batch, dtype=dtype, seed=seed)
        return probe if self.convention.takes_state else probe.zero_state()

    def run(self, module: nn.Module, probe: Probe, stateless: bool = False) -> Observation:
        """The user's numbers."""
        dtypes = FLOAT32 if probe.x.dtype == torch.float32 else FLOAT64
        with working_in(dtypes):
            return self.convention.run(module, probe, stateless)

    def shown(self) -> tuple[str, ...]:
        """The names of what the user's module shows of a run."""
        if isinstance(self.convention, CellConvention):
            own = ("output",) if self.convention.reading.output is not None else ()
            return (*own, *self.kind.state)
        assert isinstance(self.convention, LayerConvention)
        own = ("output",) if self.convention.output is not None else ()
        return (*own, *self.kind.state[: len(self.convention.state)])

    def expected(self, parameters: Mapping[str, Tensor], probe: Probe) -> Observation:
        """torch.nn's numbers."""
        weights = self.weights(parameters)
        if self.is_cell:
            return run_torch_cell(self.kind, weights, probe)
        return run_torch_layer(self.kind, [weights], probe, Stack())

    def imitated(self, parameters: Mapping[str, Tensor], probe: Probe, made: Made) -> Observation:
        """The numbers of torch.nn's algebra with mistakes."""
        weights = weights_of(made, self.weights(parameters))
        if self.is_cell:
            return run_cell(self.kind, weights, probe, stages_of(made))
        stack = Stack(batch_first=getattr(self.convention, "batch_first", False))
        return run_layer(self.kind, [weights], probe, stages_of(made), stack)


def load(module: nn.Module, kind: Kind, weights: Weights, is_cell: bool) -> None:
    """Give the module torch.nn's weights through its own ``load_from_torch``.

    Raises:
        CannotCheckError: it raises.
    """
    stack = None if is_cell else Stack()
    source = torch_module(kind, weights, stack).to(weights.ih.dtype)
    source.load_state_dict(torch_weights([weights], None if is_cell else 1))
    source = source.to(next(module.parameters()).dtype)
    try:
        with torch.no_grad():
            module.load_from_torch(source)  # type: ignore[operator]
    except Exception as error:
        raise CannotCheckError(f"load_from_torch raises: {own_line(error)}") from error


def parameter_copies(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters as leaves of their own."""
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in named_parameters(module).items()
    }
