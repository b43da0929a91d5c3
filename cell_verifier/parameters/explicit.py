"""A correspondence that the user gives: ``weights={"W_f": "weight_ih[forget].T", ...}``."""

import re
from collections.abc import Mapping

from torch import nn

from cell_verifier.errors import CannotCheckError
from cell_verifier.parameters.correspondence import TORCH_NAMES, Correspondence, Placement
from cell_verifier.parameters.layouts import Form, forms
from cell_verifier.reference.kinds import Kind

PARTS = {"weight_ih": "x", "weight_hh": "h", "bias_ih": "1", "bias_hh": "1"}
TARGETS = {name: target for target, name in TORCH_NAMES.items()}
SAID = re.compile(r"(\w+?)(?:\[([\w, ]+)\])?$")


def given(module: nn.Module, kind: Kind, weights: Mapping[str, str]) -> Correspondence:
    """Take the user's word for where each parameter belongs.

    Args:
        weights: parameter name -> torch.nn's name, ``[gates]`` where it holds only some, ``|``
            between what is joined along the input's axis, ``.T`` where that axis comes first.

    Raises:
        CannotCheckError: a name or a shape does not fit.
    """
    parameters = dict(module.named_parameters())
    unknown = [name for name in weights if name not in parameters]
    if unknown:
        raise CannotCheckError(
            f"weights names {unknown[0]!r}, which is no parameter: expected {', '.join(parameters)}"
        )
    placements = []
    for name, said in weights.items():
        transposed = said.endswith(".T")
        sides = [_side(part.strip(), kind) for part in said.removesuffix(".T").split("|")]
        form = _form(name, tuple(parameters[name].shape), sides, transposed, kind)
        placements += [Placement(name, form, TARGETS[target], gates) for target, gates in sides]
    extra = tuple(name for name in parameters if name not in weights)
    return Correspondence(kind, tuple(placements), extra)


def _side(said: str, kind: Kind) -> tuple[str, tuple[int, ...]]:
    match = SAID.match(said)
    if match is None or match[1] not in PARTS:
        raise CannotCheckError(
            f"weights says {said!r}: expected {', '.join(PARTS)}, with [gates] where it holds some"
        )
    words = [word.strip() for word in match[2].split(",")] if match[2] else list(kind.gates)
    wrong = [word for word in words if word not in kind.gates]
    if wrong:
        raise CannotCheckError(
            f"weights says gate {wrong[0]!r}: expected one of {', '.join(kind.gates)}"
        )
    return match[1], tuple(kind.gates.index(word) for word in words)


def _form(
    name: str,
    shape: tuple[int, ...],
    sides: list[tuple[str, tuple[int, ...]]],
    transposed: bool,
    kind: Kind,
) -> Form:
    parts = tuple(PARTS[target] for target, _ in sides)
    wanted = () if parts == ("1",) else parts
    for form in forms(shape, len(kind.gates)):
        fits = form.parts == wanted and form.gates == len(sides[0][1])
        if fits and form.transposed == transposed:
            return form
    raise CannotCheckError(
        f"weights says that {name} is {' | '.join(target for target, _ in sides)}"
        f"{'.T' if transposed else ''}, which its shape {shape} is not"
    )
