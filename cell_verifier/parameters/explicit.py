"""Parse the user's mapping: ``verify(weights={"W_f": "weight_ih[forget].T", ...})``."""

import re
from collections.abc import Mapping

from torch import nn

from cell_verifier.errors import CannotCheckError
from cell_verifier.parameters.correspondence import TORCH_NAMES, Correspondence, Placement
from cell_verifier.parameters.layouts import ParameterLayout, possible_layouts
from cell_verifier.reference.kinds import Kind

PART_OF = {"weight_ih": "x", "weight_hh": "h", "bias_ih": "1", "bias_hh": "1"}
TARGET_OF = {name: target for target, name in TORCH_NAMES.items()}
TARGET_PATTERN = re.compile(r"(\w+?)(?:\[([\w, ]+)\])?$")


def parse_mapping(module: nn.Module, kind: Kind, weights: Mapping[str, str]) -> Correspondence:
    """Parse the user's mapping from parameter names to torch.nn's.

    Args:
        weights: parameter name -> torch.nn's name; with ``[gates]`` if it holds only some gates,
            ``|`` between parts concatenated along the input axis, ``.T`` if that axis comes first.

    Raises:
        CannotCheckError: a name does not exist, or a shape does not match its target.
    """
    parameters = dict(module.named_parameters())
    unknown = [name for name in weights if name not in parameters]
    if unknown:
        raise CannotCheckError(
            f"weights: {unknown[0]!r} is not a parameter: expected one of {', '.join(parameters)}"
        )
    placements = []
    for name, text in weights.items():
        transposed = text.endswith(".T")
        targets = [_parse_target(part.strip(), kind) for part in text.removesuffix(".T").split("|")]
        layout = _layout_of(name, tuple(parameters[name].shape), targets, transposed, kind)
        placements += [
            Placement(name, layout, TARGET_OF[target], gates) for target, gates in targets
        ]
    extra = tuple(name for name in parameters if name not in weights)
    return Correspondence(kind, tuple(placements), extra)


def _parse_target(text: str, kind: Kind) -> tuple[str, tuple[int, ...]]:
    """``weight_ih[forget]`` -> the name and the indices of the gates."""
    match = TARGET_PATTERN.match(text)
    if match is None or match[1] not in PART_OF:
        raise CannotCheckError(
            f"weights: {text!r} is not a target: expected {', '.join(PART_OF)}, with [gates] if "
            "the parameter holds only some gates"
        )
    words = [word.strip() for word in match[2].split(",")] if match[2] else list(kind.gates)
    wrong = [word for word in words if word not in kind.gates]
    if wrong:
        raise CannotCheckError(
            f"weights: {wrong[0]!r} is not a gate: expected one of {', '.join(kind.gates)}"
        )
    return match[1], tuple(kind.gates.index(word) for word in words)


def _layout_of(
    name: str,
    shape: tuple[int, ...],
    targets: list[tuple[str, tuple[int, ...]]],
    transposed: bool,
    kind: Kind,
) -> ParameterLayout:
    parts = tuple(PART_OF[target] for target, _ in targets)
    wanted = () if parts == ("1",) else parts
    for layout in possible_layouts(shape, len(kind.gates)):
        fits = layout.parts == wanted and layout.gates == len(targets[0][1])
        if fits and layout.transposed == transposed:
            return layout
    raise CannotCheckError(
        f"weights: {name} has shape {shape}, which does not match "
        f"{' | '.join(target for target, _ in targets)}{'.T' if transposed else ''}"
    )
