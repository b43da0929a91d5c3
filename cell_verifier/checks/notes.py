"""Remarks that are not errors: what trains differently, or was compared differently."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from cell_verifier.calling.arguments import constructor_of
from cell_verifier.calling.construct import construct_module
from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.calling.initial_call import initial_call_of
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.subject import Subject
from cell_verifier.parameters.correspondence import Correspondence
from cell_verifier.parameters.names import role_hint
from cell_verifier.reference.probes import FLOAT32

WIDE, NARROW = 128, 3
"""hidden_size and input_size for which the bounds of the initial weights differ most clearly."""


def notes(subject: Subject) -> Iterator[str]:
    """Every remark, each starting with its id."""
    if subject.loaded is None and subject.has_weights:
        yield from _bias_notes(subject.correspondence)
        yield from dict.fromkeys(_role_notes(subject.correspondence))
    if _drawn_like_linear(subject):
        yield (
            "linear-init: the initial weights are nn.Linear's, bounded by 1/sqrt(in_features); "
            "torch.nn's are bounded by 1/sqrt(hidden_size), so the two train differently"
        )
    frozen = [n for n, p in subject.construct().named_parameters() if not p.requires_grad]
    if frozen:
        yield f"frozen: {', '.join(frozen)} does not require a gradient, so none was compared"
    yield from _not_compared_notes(subject)
    if subject.precision is FLOAT32:
        yield "float32-only: the module runs only in float32: tolerance 1e-5 instead of 1e-10"
    if not subject.convention.takes_state and not subject.is_cell:
        yield "no-initial-state: the module takes no initial state: compared from zeros only"


def _not_compared_notes(subject: Subject) -> Iterator[str]:
    """What was passed to the constructor, and what of the module was not compared."""
    part = constructor_of(subject.make).part
    if part:
        whole = construct_module(replace(constructor_of(subject.make), part=""), FLOAT32)
        others = [name for name, _ in whole.named_children() if name != part.partition(".")[0]]
        yield (
            f"part: only the recurrent part {part!r} was compared, not how the module uses it; put "
            f"aside: {', '.join(others)}"
        )
    passed = constructor_of(subject.make).passed()
    if passed:
        named = ", ".join(f"{name}={value}" for name, value in passed.items())
        yield f"arguments: compared with {named}"
    initial = initial_call_of(subject.construct())
    if initial:
        yield f"initial-call: {initial} is called before each call of the module"
    convention, extra = subject.convention, ", ".join(subject.correspondence.extra)
    if convention.set_aside is not None and (extra or not convention.aside_may_be_h):
        of = f" with {extra}" if extra else ""
        yield f"head: the output{of} is not h and is not compared; the states are"
    elif isinstance(convention, LayerConvention) and convention.pooled is not None:
        yield f"head: the value (B, H) computed with {extra} is not compared; the outputs are"
    elif subject.explained and extra:
        yield f"unused: the result does not depend on {extra}"
    if convention.takes_state and convention.parts_taken < len(subject.kind.state):
        yield "h-only: the module takes h but not c: compared from c = 0"


def _bias_notes(correspondence: Correspondence) -> Iterator[str]:
    if correspondence.bias_count() == 0:
        yield "no-bias: compared with torch.nn's with bias=False"
    elif _some_merged(correspondence):
        yield (
            "merged-bias: one bias in place of torch.nn's two; the function is the same, but "
            "torch.nn's effective bias changes twice as much in one training step"
        )


def _some_merged(correspondence: Correspondence) -> bool:
    """Whether some gate has only one bias."""
    for gate in range(len(correspondence.kind.gates)):
        sides = {
            placed.target
            for placed in correspondence.placements
            if gate in placed.gates and placed.target.startswith("b_")
        }
        if len(sides) == 1:
            return True
    return False


def _role_notes(correspondence: Correspondence) -> Iterator[str]:
    """Parameters named after another gate than the one whose weights they are."""
    gates = correspondence.kind.gates
    for placed in correspondence.placements:
        if len(placed.gates) > 1 or placed.target not in ("ih", "hh"):
            continue
        # A submodule "h" is the recurrent part of a gate; it is not named after the candidate.
        name = ".".join(part for part in placed.parameter.split(".") if part != "h")
        named = [gate for gate in gates if role_hint(name, gate)]
        if len(named) == 1 and named[0] != gates[placed.gates[0]]:
            yield (
                f"roles: {placed.parameter} is named after the {named[0]} gate but is the weight "
                f"of the {gates[placed.gates[0]]} gate; copy torch.nn's weights by the latter"
            )


def _drawn_like_linear(subject: Subject) -> bool:
    """Whether the largest initial weight has nn.Linear's bound, in a cell with H > I."""
    torch.manual_seed(0)
    try:
        module: nn.Module = construct_module(subject.make, FLOAT32, NARROW, WIDE)
    except CannotCheckError:
        return False
    largest = max((float(p.detach().abs().max()) for p in module.parameters()), default=0.0)
    bound = 1 / math.sqrt(NARROW)
    return 0.9 * bound < largest <= bound
