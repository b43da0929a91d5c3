"""The comparisons of a program with torch.nn: several lengths, batches, states and modes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cell_verifier.checks.check import Check
from cell_verifier.formats.calling import ProgramConvention, call, draw, short_error
from cell_verifier.formats.faults import with_last
from cell_verifier.formats.program import Program
from cell_verifier.formats.torch_program import differentiable, in_train_mode
from cell_verifier.formats.weights import LayerWeights
from cell_verifier.identification.gradients import combination_weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import LayerConfig, RunResult, max_relative_difference

MAX_GRADIENT_DIFFERENCE = {torch.float64: 1e-10}
"""Tolerance of gradients; in other dtypes ten times that of the outputs."""


@dataclass(frozen=True)
class Comparison:
    """A program, its convention, and torch.nn's layer with the weights that it should have."""

    program: Program
    kind: Kind
    weights: LayerWeights
    convention: ProgramConvention
    tolerance: float
    nonlinearity: str = "tanh"

    @property
    def config(self) -> LayerConfig:
        return LayerConfig(
            self.weights.num_layers, self.weights.num_directions, self.convention.batch_first
        )

    def probe(self, time: int, batch: int, seed: int = 3) -> Probe:
        """A random input; the state is zero if the program takes none."""
        probe = draw(self.kind, self.weights, time, batch, self.program.dtype, seed)
        return probe if self.convention.state_form != "none" else probe.zero_state()

    def observed(self, probe: Probe) -> RunResult:
        with torch.no_grad():
            returned = call(self.program, self.convention, probe.copy())
        return {name: part.double() for name, part in returned.items()}

    def layer(self) -> tuple[nn.Module, dict[str, Tensor]]:
        """torch.nn's layer in float64, and its weights by name."""
        named = self.weights.by_torch_names()
        options = {"nonlinearity": self.nonlinearity} if self.kind.name == "rnn" else {}
        layer = self.kind.layer(
            self.weights.input_size, self.weights.hidden_size, self.weights.num_layers,
            bidirectional=self.weights.num_directions == 2, dtype=torch.float64, **options,
        )  # fmt: skip
        return layer, named

    def expected(self, probe: Probe) -> RunResult:
        with torch.no_grad():
            layer, named = self.layer()
            layer.load_state_dict(named)
            return self.run_layer(layer, double(probe))

    def run_layer(self, layer: Callable[..., tuple[Tensor, object]], probe: Probe) -> RunResult:
        output, final = layer(probe.x, probe.state if len(probe.state) > 1 else probe.state[0])
        parts = final if isinstance(final, tuple) else (final,)
        result = {"output": output, **dict(zip(self.kind.state, parts, strict=True))}
        return with_last(result, self.config)

    def difference(self, probe: Probe) -> float:
        return max_relative_difference(self.observed(probe), self.expected(probe))

    def check(self, name: str, covers: str, time: int, batch: int) -> Check:
        """Compare the results for one length and one number of samples."""
        probe = self.probe(time, batch)
        return self.check_probe(name, covers, probe)

    def check_probe(self, name: str, covers: str, probe: Probe) -> Check:
        try:
            observed = self.observed(probe)
        except Exception as error:
            return Check(name, covers, False, detail=f"raises: {short_error(error)}")
        expected = self.expected(probe)
        for part, value in observed.items():
            if value.shape != expected[part].shape:
                detail = (
                    f"{part} has shape {tuple(value.shape)}, expected {tuple(expected[part].shape)}"
                )
                return Check(name, covers, False, detail=detail)
        difference = max_relative_difference(observed, expected)
        return Check(name, covers, difference <= self.tolerance, difference, self.tolerance)


def double(probe: Probe) -> Probe:
    """The same input and state in float64."""
    return Probe(probe.x.double(), tuple(part.double() for part in probe.state))


LENGTHS, BATCHES = ("one step", "shorter", "longer"), ("one sample", "more samples")
"""Names of the checks with other lengths, and with other batches."""


def program_checks(comparison: Comparison) -> tuple[Check, ...]:
    """Every comparison."""
    return tuple(_checks(comparison))


def _checks(comparison: Comparison) -> Iterator[Check]:
    convention = comparison.convention
    time, batch = convention.time, convention.batch
    takes_state = convention.state_form != "none"
    initial = "a random initial state" if takes_state else "the zero state"
    size = f"{count(time, 'step')}, {count(batch, 'sample')}"
    yield comparison.check("outputs", f"{size}, from {initial}", time, batch)
    if takes_state:
        zero = comparison.probe(time, batch).zero_state()
        yield comparison.check_probe("zero state", "the same from a state of zeros", zero)
    longer = 3 * time + 8
    for name, steps in zip(LENGTHS, (1, max(1, time - 1), longer), strict=True):
        yield comparison.check(name, f"the same for {count(steps, 'step')}", steps, batch)
    for name, samples in zip(BATCHES, (1, 2 * batch + 5), strict=True):
        yield comparison.check(name, f"the same for {count(samples, 'sample')}", time, samples)
    yield _deterministic(comparison)
    yield from _module_checks(comparison)


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 step``, ``5 steps``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _deterministic(comparison: Comparison) -> Check:
    name = "deterministic"
    covers = "a repeated call returns the same values and leaves the input unchanged"
    convention = comparison.convention
    probe = comparison.probe(convention.time, convention.batch)
    given = probe.copy()
    with torch.no_grad():
        first = call(comparison.program, convention, given)
        first = {key: part.clone() for key, part in first.items()}
        second = call(comparison.program, convention, probe.copy())
    pairs = zip((given.x, *given.state), (probe.x, *probe.state), strict=True)
    if not all(torch.equal(now, before) for now, before in pairs):
        return Check(name, covers, False, detail="a call changes its input in place")
    difference = max_relative_difference(second, first)
    return Check(name, covers, difference == 0.0, difference, 0.0)


def _module_checks(comparison: Comparison) -> Iterator[Check]:
    """The train mode and the gradients of a torch module."""
    module = comparison.program.module
    if module is None:
        return
    original = getattr(module, "_orig_mod", module)
    dropout = float(getattr(original, "dropout", 0.0) or 0.0)
    if hasattr(module, "train") and comparison.weights.num_layers > 1 and dropout:
        yield _dropout_check(comparison, module, dropout)
    if differentiable(comparison.program):
        yield _gradient_check(comparison)


def _dropout_check(comparison: Comparison, module: nn.Module, dropout: float) -> Check:
    covers = f"dropout of {dropout:g} between layers acts after .train(), and not after .eval()"
    convention = comparison.convention
    probe = comparison.probe(convention.time, convention.batch)
    training = replace(comparison, program=replace(comparison.program, run=in_train_mode(module)))
    try:
        difference = training.difference(probe)
    except Exception as error:
        return Check("train mode", covers, False, detail=f"raises: {short_error(error)}")
    acts = difference > comparison.tolerance
    detail = "" if acts else "the outputs in train mode are those without dropout"
    return Check("train mode", covers, acts, detail=detail)


def _gradient_check(comparison: Comparison) -> Check:
    """Gradients of a random linear combination of the outputs; those of weights found by name."""
    program, convention = comparison.program, comparison.convention
    probe = comparison.probe(convention.time, convention.batch)
    parameters = _named_parameters(comparison)
    covers = (
        "with respect to the input"
        + (", the initial state" if convention.state_form != "none" else "")
        + (" and every weight" if parameters else "")
    )
    tolerance = MAX_GRADIENT_DIFFERENCE.get(program.dtype, 10 * comparison.tolerance)
    given = probe.require_grad()
    try:
        returned = call(program, convention, given)
        got = _gradients(returned, given, parameters, convention)
    except Exception as error:
        return Check("gradients", covers, False, detail=f"raises: {short_error(error)}")
    layer, named = comparison.layer()
    named = {name: part.detach().requires_grad_() for name, part in named.items()}
    expected_probe = double(probe).require_grad()
    run = comparison.run_layer(lambda *a: functional_call(layer, named, a), expected_probe)
    expected = {name: run[name] for name in returned}
    wanted = _gradients(
        expected, expected_probe, {key: named[key] for key in parameters}, convention
    )
    lost = [name for name, part in got.items() if part is None and wanted[name] is not None]
    if lost:
        return Check("gradients", covers, False, detail=f"no gradient of {', '.join(lost[:4])}")
    pairs = {name: (part, wanted[name]) for name, part in got.items()}
    differences = {
        name: max_relative_difference({name: a.double()}, {name: b})
        for name, (a, b) in pairs.items()
        if a is not None and b is not None
    }
    wrong = [name for name, value in differences.items() if not value <= tolerance]
    detail = f"wrong for {', '.join(wrong[:4])}" if wrong else ""
    worst = max(differences.values(), default=0.0)
    return Check("gradients", covers, not wrong, worst, tolerance, detail)


def _named_parameters(comparison: Comparison) -> dict[str, Tensor]:
    """The program's own parameters by torch.nn's name, where the names are torch.nn's."""
    module = comparison.program.module
    assert module is not None
    names, targets = comparison.weights.names, comparison.weights.by_torch_names()
    parameters = {name.removeprefix("_orig_mod."): p for name, p in module.named_parameters()}
    return {
        target: parameters[name]
        for name, target in names.items()
        if target in targets and name in parameters and parameters[name].requires_grad
    }


def _gradients(
    result: RunResult, probe: Probe, parameters: dict[str, Tensor], convention: ProgramConvention
) -> dict[str, Tensor | None]:
    combination = sum(
        (result[name].double() * weights.double()).sum()
        for name, weights in combination_weights(result).items()
    )
    leaves = {"the input": probe.x, **parameters}
    if convention.state_form != "none":
        leaves |= {f"the state's part {n}": part for n, part in enumerate(probe.state)}
    assert isinstance(combination, Tensor)
    if not combination.requires_grad:
        return dict.fromkeys(leaves)
    gradients = torch.autograd.grad(combination, list(leaves.values()), allow_unused=True)
    return dict(zip(leaves, gradients, strict=True))
