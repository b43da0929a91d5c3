"""Recognise a layer that adds the outputs of its two directions; torch.nn concatenates them."""

from collections.abc import Iterator, Sequence
from itertools import islice, product

from torch import Tensor, nn

from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.identification.trials import TrialSet
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, Precision, Probe
from cell_verifier.reference.simulate import LayerConfig, run_layer

MAX_CORRESPONDENCES = 16
"""Correspondences of one direction that are tried, the most likely first."""

MERGES = {
    "adds": lambda forward, reverse: forward + reverse,
    "averages": lambda forward, reverse: (forward + reverse) / 2,
    "multiplies": lambda forward, reverse: forward * reverse,
}


def merged_directions(
    module: nn.Module, kind: Kind, trial_sets: Sequence[TrialSet], precision: Precision
) -> str:
    """What the module does with the outputs of two directions, if each is torch.nn's; or ""."""
    for trials in trial_sets:
        for trial in trials.trials:
            convention = trial.convention
            if isinstance(convention, LayerConvention) and "output" in trial.observed:
                output = trial.observed["output"]
                for both in _both_outputs(module, kind, trials.probe):
                    way = way_of_merging(output, both, precision)
                    if way:
                        return f"{way}; each of them equals torch.nn's {kind.title}"
    return ""


def way_of_merging(output: Tensor, both: Tensor, precision: Precision) -> str:
    """In words, how an output (T, B, H) follows from those of both directions (T, B, 2 * H)."""
    for verb, merge in MERGES.items():
        merged = merge(*both.chunk(2, dim=-1))
        if merged.shape == output.shape:
            scale = max(1.0, float(merged.abs().max()))
            if float((merged - output).abs().max()) <= precision.match * scale:
                return (
                    f"{verb} the outputs of its two directions; torch.nn concatenates them, "
                    "(T, B, 2 * H)"
                )
    return ""


def _both_outputs(module: nn.Module, kind: Kind, probe: Probe) -> Iterator[Tensor]:
    """The outputs of two directions, (T, B, 2 * H), for every correspondence."""
    parameters = named_parameters(module)
    zeros = probe.x.new_zeros(2, probe.x.size(1), HIDDEN_SIZE)
    both = Probe(probe.x, tuple(zeros for _ in kind.state))
    for one, other in _halves(list(parameters), parameters):
        found = (
            islice(candidates(module, kind, unused), MAX_CORRESPONDENCES) for unused in (other, one)
        )
        for pair in product(*found):
            weights = [each.read(parameters, INPUT_SIZE, HIDDEN_SIZE) for each in pair]
            yield run_layer(kind, weights, both, {}, LayerConfig(1, 2))["output"]


def _halves(
    names: list[str], parameters: dict[str, Tensor]
) -> Iterator[tuple[list[str], list[str]]]:
    """The names of the parameters of two cells of the same shapes."""
    half = len(names) // 2
    for one, other in ((names[:half], names[half:]), (names[::2], names[1::2])):
        shapes = [[parameters[name].shape for name in part] for part in (one, other)]
        if shapes[0] == shapes[1] and one:
            yield one, other
            yield other, one
