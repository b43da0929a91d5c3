"""What is no mistake, and yet trains or compares otherwise."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from cell_verifier.calling.construct import build
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.subject import Subject
from cell_verifier.parameters.correspondence import Correspondence
from cell_verifier.parameters.names import role_hint
from cell_verifier.reference.probes import FLOAT32

WIDE, NARROW = 128, 3


def notes(subject: Subject) -> Iterator[str]:
    """Every note, each beginning with its id."""
    if subject.loaded is None:
        yield from _bias_notes(subject)
        yield from _role_notes(subject.correspondence)
    if _drawn_like_linear(subject):
        yield (
            "linear-init: the weights start as nn.Linear's, within 1/sqrt(its inputs); torch.nn's "
            "start within 1/sqrt(hidden_size), so the two train differently"
        )
    frozen = [n for n, p in subject.build().named_parameters() if not p.requires_grad]
    if frozen:
        yield f"frozen: {', '.join(frozen)} takes no gradient, and none was compared"
    if subject.explained and subject.correspondence.extra:
        yield f"unused: {', '.join(subject.correspondence.extra)} changes nothing"
    if subject.precision is FLOAT32:
        yield "float32-only: it runs in float32 only, and was compared to 1e-5, not to 1e-10"
    if not subject.convention.takes_state and not subject.is_cell:
        yield "no-initial-state: it takes no initial state, and was compared from zeros only"


def _bias_notes(subject: Subject) -> Iterator[str]:
    count = subject.correspondence.biases()
    if count == 0:
        yield "no-bias: equal to torch.nn's with bias=False"
    elif _some_merged(subject.correspondence):
        yield (
            "merged-bias: one bias stands for torch.nn's two; the function is the same, but "
            "torch.nn's effective bias moves twice as far in a step of training"
        )


def _some_merged(correspondence: Correspondence) -> bool:
    """Whether some gate has one bias only."""
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
    """Names that speak of another gate than the one that the parameter turned out to be."""
    gates = correspondence.kind.gates
    for placed in correspondence.placements:
        if len(placed.gates) > 1 or placed.target not in ("ih", "hh"):
            continue
        spoken = [gate for gate in gates if role_hint(placed.parameter, gate)]
        if len(spoken) == 1 and spoken[0] != gates[placed.gates[0]]:
            yield (
                f"roles: {placed.parameter} is named for the {spoken[0]} gate and works as the "
                f"{gates[placed.gates[0]]} gate; to copy torch.nn's weights, go by the latter"
            )


def _drawn_like_linear(subject: Subject) -> bool:
    """Whether a narrow, wide-hidden cell's largest first weight is nn.Linear's rather than ours."""
    torch.manual_seed(0)
    try:
        module: nn.Module = build(subject.make, FLOAT32, NARROW, WIDE)
    except CannotCheckError:
        return False
    largest = max((float(p.detach().abs().max()) for p in module.parameters()), default=0.0)
    bound = 1 / math.sqrt(NARROW)
    return 0.9 * bound < largest <= bound
