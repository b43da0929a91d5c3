"""The candidate correspondences, in a bounded number, by the parameters' shapes and names.

The rules that prevent false positives (a wrong cell reported as equal):

- Every parameter has exactly one place; no parameter is left out to make a cell match.
- Parameters with torch.nn's names are matched by name.
- Rows of a stacked matrix are in torch.nn's order; another order is the mistake ``gate-order``.
- The parameters of one gate form a group: those of one ``nn.Linear``, and separate ones whose names
  differ only in the gate's mark. Only the assignment of groups to gates is varied.
- A square recurrent matrix has the same orientation as the input matrix of its group.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, islice, permutations, product

from torch import Tensor, nn

from cell_verifier.parameters.correspondence import (
    Correspondence,
    Placement,
    named_parameters,
)
from cell_verifier.parameters.groups import Group, Grouping, groupings
from cell_verifier.parameters.layouts import ParameterLayout, UserParameter
from cell_verifier.parameters.names import role_hint
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE

MAX_CANDIDATES = 400
"""Maximum number of correspondences tried; bounds the time of the search."""

Roles = tuple[tuple[int, ...], ...]
"""For each gate group, the indices of its gates."""


def candidates(module: nn.Module, kind: Kind, unused: Collection[str] = ()) -> list[Correspondence]:
    """The correspondences to try, the most likely by name first.

    ``unused`` parameters, on which no result depends, are set aside only if not every parameter has
    a place: a bias that is never added belongs to the cell, the bias of a classifier does not.
    """
    found = _all_placed(module, kind, ())
    if (not found or found[0].extra) and unused:
        found = _all_placed(module, kind, unused) or found
    return found


def _all_placed(module: nn.Module, kind: Kind, without: Collection[str]) -> list[Correspondence]:
    named = match_torch_names(module, kind, without)
    if named is not None:
        return [named]
    found = dict.fromkeys(
        correspondence
        for grouping in groupings(module, kind, without)
        for correspondence in islice(_correspondences(grouping, kind), MAX_CANDIDATES)
    )
    parameters = named_parameters(module)
    readable = [each for each in found if _is_readable(each, parameters)]
    fewest = min((len(each.extra) for each in readable), default=0)
    return [each for each in readable if len(each.extra) == fewest][:MAX_CANDIDATES]


def _is_readable(correspondence: Correspondence, parameters: Mapping[str, Tensor]) -> bool:
    """Whether each of torch.nn's weights can be read: the shapes of the parameters allow it."""
    try:
        correspondence.read(parameters, INPUT_SIZE, HIDDEN_SIZE)
    except (ValueError, RuntimeError, IndexError):
        return False
    return True


def match_torch_names(
    module: nn.Module, kind: Kind, without: Collection[str] = ()
) -> Correspondence | None:
    """The correspondence of a module whose parameters have torch.nn's names and shapes, or None."""
    targets = {"weight_ih": "ih", "weight_hh": "hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    gates = tuple(range(len(kind.gates)))
    placements = []
    for name, _ in module.named_parameters():
        if name in without:
            continue
        target = targets.get(name.rpartition(".")[2].removesuffix("_l0"))
        if target is None:
            return None
        parts = {"ih": ("x",), "hh": ("h",)}.get(target, ())
        axes = ("rows", "in") if parts else ("rows",)
        placements.append(Placement(name, ParameterLayout(axes, parts, len(gates)), target, gates))
    placed = [placement.target for placement in placements]
    complete = {"ih", "hh"} <= set(placed) and len(placed) == len(set(placed))
    if not complete or not _has_torch_shapes(module, placements):
        return None
    return Correspondence(kind, tuple(placements), tuple(without))


def _has_torch_shapes(module: nn.Module, placements: list[Placement]) -> bool:
    """Whether the shapes are torch.nn's."""
    widths = {"ih": (INPUT_SIZE,), "hh": (HIDDEN_SIZE,)}
    parameters = dict(module.named_parameters())
    return all(
        tuple(parameters[placed.parameter].shape)
        == (len(placed.gates) * HIDDEN_SIZE, *widths.get(placed.target, ()))
        for placed in placements
    )


def _correspondences(grouping: Grouping, kind: Kind) -> Iterator[Correspondence]:
    """The correspondences of one grouping, the most likely by name first."""
    groups = (grouping.whole, *grouping.groups)
    if not _reaches_every_gate(groups, kind):
        return
    joined_parts = _joined_parts(groups)
    orientations = _orientations(groups)
    # Only in a GRU does it matter which of two biases is b_hh: r multiplies that one.
    sides = (("b_ih", "b_hh"), ("b_hh", "b_ih")) if kind.name == "gru" else (("b_ih", "b_hh"),)
    all_gates = tuple(range(len(kind.gates)))
    for roles, parts, transposed, side in product(
        _ordered_roles(grouping.groups, kind), joined_parts, orientations, sides
    ):
        placed = []
        for group, gates in zip(groups, (all_gates, *roles), strict=True):
            placed += _placements(group, gates, parts, transposed, side)
        for peepholes in _peepholes(grouping.peepholes):
            yield Correspondence(kind, tuple(dict.fromkeys([*placed, *peepholes])), grouping.extra)


def _reaches_every_gate(groups: tuple[Group, ...], kind: Kind) -> bool:
    """Whether x and h each reach every gate, or every gate except one that the cell omits."""
    whole, *partial = groups
    gates = len(kind.gates)
    for part in ("x", "h"):
        reached = sum(
            group.gates for group in groups for matrix in group.matrices if part in matrix.reads
        )
        if reached != gates and not (reached == gates - 1 and gates > 1 and not whole.matrices):
            return False
    return sum(group.gates for group in partial) in (0, gates, gates - 1)


def _joined_parts(groups: tuple[Group, ...]) -> list[tuple[str, ...]]:
    """The orders in which x and h can be concatenated: [x, h] or [h, x]."""
    joined = [m for group in groups for m in group.matrices if len(m.reads) == 2]
    return list(dict.fromkeys(layout.parts for m in joined for layout in m.layouts)) or [()]


def _orientations(groups: tuple[Group, ...]) -> list[bool]:
    """Whether a square matrix outside an ``nn.Linear`` is transposed.

    It has the orientation of the input matrix. If the input matrix is transposed, missing or part
    of an ``nn.Linear``, it does not determine the orientation, and both are tried.
    """
    x = [m for group in groups for m in group.matrices if m.reads == {"x"}]
    h = [m for group in groups for m in group.matrices if m.reads == {"h"}]
    undetermined = any(len({layout.transposed for layout in m.layouts}) == 2 for m in h)
    if not undetermined:
        return [False]
    sibling = x[0].layouts[0].transposed if x else False
    if sibling or not x or x[0].linear:
        return [sibling, not sibling]
    return [sibling]


def _ordered_roles(groups: tuple[Group, ...], kind: Kind) -> list[Roles]:
    """Every assignment of groups to gates; those that the names suggest first."""
    sizes = [group.gates for group in groups]

    def minus_hints(roles: Roles) -> int:
        return -sum(
            role_hint(group.name, kind.gates[gate])
            for group, gates in zip(groups, roles, strict=True)
            for gate in gates
        )

    return sorted(_roles(sizes, tuple(range(len(kind.gates)))), key=minus_hints)


def _roles(sizes: list[int], free: tuple[int, ...]) -> Iterator[Roles]:
    """Every way to give groups of these sizes distinct gates of ``free``."""
    if not sizes:
        yield ()
        return
    for gates in combinations(free, sizes[0]):
        still_free = tuple(gate for gate in free if gate not in gates)
        for rest in _roles(sizes[1:], still_free):
            yield (gates, *rest)


def _placements(
    group: Group,
    gates: tuple[int, ...],
    parts: tuple[str, ...],
    transposed: bool,
    sides: tuple[str, str],
) -> list[Placement]:
    """Place the parameters of a group; ``sides`` are the targets of biases without a side."""
    placed = []
    for matrix in group.matrices:
        layout = _layout_of(matrix, parts, transposed)
        targets = {"x": "ih", "h": "hh", "1": "b_hh" if matrix.reads == {"h"} else "b_ih"}
        placed += [Placement(matrix.name, layout, targets[part], gates) for part in layout.parts]
    used = [side for _, side in group.biases if side]
    free = iter([side for side in sides if side not in used])
    for bias, side in group.biases:
        placed.append(Placement(bias.name, bias.layouts[0], side or next(free), gates))
    return placed


def _layout_of(matrix: UserParameter, parts: tuple[str, ...], transposed: bool) -> ParameterLayout:
    matching = [
        layout for layout in matrix.layouts if len(matrix.reads) == 1 or layout.parts == parts
    ]
    oriented = [layout for layout in matching if layout.transposed == transposed]
    return (oriented or matching)[0]


def _peepholes(parameters: tuple[UserParameter, ...]) -> Iterator[tuple[Placement, ...]]:
    """Possible peephole positions: on i, f and o, in any order."""
    input_forget_output = (0, 1, 3)
    for order in permutations(input_forget_output):
        remaining = iter(order)
        placed = [(each, tuple(islice(remaining, each.gates))) for each in parameters]
        if all(len(gates) == each.gates for each, gates in placed):
            yield tuple(
                Placement(each.name, each.layouts[0], "peephole", gates) for each, gates in placed
            )
        if not parameters:
            return
