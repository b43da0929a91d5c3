"""The checks of the constructor's options: bias, batch_first, layers, directions, dropout."""

from cell_verifier.checks.check import Check
from cell_verifier.identification.multi_layer import LayerMatch
from cell_verifier.identification.options import OptionMatch
from cell_verifier.identification.subject import Subject
from cell_verifier.reference.simulate import LayerConfig, max_relative_difference
from cell_verifier.reference.torch_modules import run_torch_layer


def without_bias_check(match: OptionMatch) -> Check:
    """Whether the module with ``bias=False`` matches torch.nn's."""
    return _option_check("bias=False", "the same without biases", match)


def batch_first_check(match: OptionMatch) -> Check:
    """Whether the axes of input and outputs are those that ``batch_first`` specifies."""
    axes = "(batch, time, features)" if match.value else "(time, batch, features)"
    covers = f"batch_first={match.value}: input and outputs are {axes}"
    return _option_check("batch_first", covers, match)


def _option_check(name: str, covers: str, match: OptionMatch) -> Check:
    passed = None if match.inconclusive else not (match.failure or match.mistakes)
    return Check(name, covers, passed, detail=match.failure)


def multi_layer_check(subject: Subject, match: LayerMatch) -> Check:
    """Compare a layer in one configuration with torch.nn's."""
    name, covers = _title(match.config)
    difference, detail = None, match.failure
    if match.run is not None:
        expected = run_torch_layer(
            subject.kind, match.run.weights, match.run.probe, match.config, match.run.training
        )
        difference = max_relative_difference(match.run.observed, expected)
    tolerance = subject.precision.outputs
    passed = difference is not None and difference <= tolerance
    if not passed and not (detail or match.mistakes or subject.mistakes):
        in_eval = match.config.dropout and not match.config.training
        detail = "dropout applies in evaluation mode too" if in_eval else "cause unknown"
    if passed or not match.inconclusive:
        return Check(name, covers, passed, difference, tolerance, detail)
    if match.inherited:
        ignored = "this class does not use this argument of its base class"
        detail = f"{ignored}; {detail}" if detail else ignored
    return Check(name, covers, None, detail=detail)


def _title(config: LayerConfig) -> tuple[str, str]:
    if config.dropout and not config.training:
        return "dropout in eval", "dropout=1 in evaluation mode: has no effect"
    if config.dropout:
        return "dropout", "dropout=1 in training: applied between layers and nowhere else"
    words = [f"{config.num_layers} layers"] if config.num_layers > 1 else []
    words += ["2 directions"] if config.num_directions > 1 else []
    name = ", ".join(words)
    return name, f"{name}: outputs at every step and final states"
