"""Every correspondence that the parameters' shapes and names allow, in a bounded number.

The rules, which keep a wrong cell from being talked into a right one:

- Every parameter has a place, and one place only; none is left out to make a cell fit.
- Parameters under torch.nn's own names are taken at their word.
- Rows of a stacked matrix are in torch.nn's order; another order is the mistake ``gate-order``.
- What belongs to one gate stays together: the parameters of one ``nn.Linear``, and loose ones
  whose names differ only in the gate's mark. Only which gate a group is, is tried.
- A square recurrent matrix lies as the input matrix beside it does.
"""

from collections.abc import Collection, Iterator
from itertools import combinations, islice, permutations

from torch import nn

from cell_verifier.parameters.correspondence import Correspondence, Placement
from cell_verifier.parameters.groups import Group, Grouping, groupings
from cell_verifier.parameters.layouts import Block, Form
from cell_verifier.parameters.names import role_hint
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE

MOST = 400
"""At most so many correspondences are tried."""

Roles = tuple[tuple[int, ...], ...]


def candidates(module: nn.Module, kind: Kind, unused: Collection[str] = ()) -> list[Correspondence]:
    """The correspondences to try, the likeliest by name first.

    ``unused`` parameters, on which nothing depends, are put aside only where not every parameter
    has a place: a bias that is never added belongs to the cell, and a classifier's does not.
    """
    found = _all_placed(module, kind, ())
    if (not found or found[0].extra) and unused:
        found = _all_placed(module, kind, unused) or found
    return found


def _all_placed(module: nn.Module, kind: Kind, without: Collection[str]) -> list[Correspondence]:
    named = torch_named(module, kind, without)
    if named is not None:
        return [named]
    found = dict.fromkeys(
        correspondence
        for grouping in groupings(module, kind, without)
        for correspondence in islice(_correspondences(grouping, kind), MOST)
    )
    fewest = min((len(each.extra) for each in found), default=0)
    return [each for each in found if len(each.extra) == fewest][:MOST]


def torch_named(
    module: nn.Module, kind: Kind, without: Collection[str] = ()
) -> Correspondence | None:
    """The correspondence of a module whose parameters carry torch.nn's names."""
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
        placements.append(Placement(name, Form(axes, parts, len(gates)), target, gates))
    placed = [placement.target for placement in placements]
    complete = {"ih", "hh"} <= set(placed) and len(placed) == len(set(placed))
    if not complete or not _fits(module, placements):
        return None
    return Correspondence(kind, tuple(placements), tuple(without))


def _fits(module: nn.Module, placements: list[Placement]) -> bool:
    """Whether the shapes are torch.nn's too."""
    widths = {"ih": (INPUT_SIZE,), "hh": (HIDDEN_SIZE,)}
    parameters = dict(module.named_parameters())
    return all(
        tuple(parameters[placed.parameter].shape)
        == (len(placed.gates) * HIDDEN_SIZE, *widths.get(placed.target, ()))
        for placed in placements
    )


def _correspondences(grouping: Grouping, kind: Kind) -> Iterator[Correspondence]:
    everything = (grouping.whole, *grouping.groups)
    if not _covers(everything, kind):
        return
    joined_parts = _joined_parts(everything)
    orientations = _orientations(everything)
    sides = (("b_ih", "b_hh"), ("b_hh", "b_ih")) if kind.name == "gru" else (("b_ih", "b_hh"),)
    for roles in _ordered_roles(grouping.groups, kind):
        for parts in joined_parts:
            for transposed in orientations:
                for side in sides:
                    placed = []
                    for group, gates in zip(
                        everything, (tuple(range(len(kind.gates))), *roles), strict=True
                    ):
                        placed += _place(group, gates, parts, transposed, side)
                    for peepholes in _peepholes(grouping.peepholes):
                        yield Correspondence(
                            kind, tuple(dict.fromkeys([*placed, *peepholes])), grouping.extra
                        )


def _covers(groups: tuple[Group, ...], kind: Kind) -> bool:
    """Whether x and h both reach every gate, or every gate but one that the cell does without."""
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
    joined = [m for group in groups for m in group.matrices if len(m.reads) == 2]
    return list(dict.fromkeys(form.parts for m in joined for form in m.forms)) or [()]


def _orientations(groups: tuple[Group, ...]) -> list[bool]:
    """How a loose square matrix lies: as the input matrix does; the other way too only where
    that one says nothing of the user's habit."""
    x = [m for group in groups for m in group.matrices if m.reads == {"x"}]
    h = [m for group in groups for m in group.matrices if m.reads == {"h"}]
    open_ = any(len({form.transposed for form in m.forms}) == 2 for m in h)
    if not open_:
        return [False]
    sibling = x[0].forms[0].transposed if x else False
    says_nothing = sibling or not x or x[0].linear
    return [sibling, not sibling] if says_nothing else [sibling]


def _ordered_roles(groups: tuple[Group, ...], kind: Kind) -> list[Roles]:
    """Which gates each group may be; what the names speak of first."""
    sizes = [group.gates for group in groups]

    def hinted(roles: Roles) -> int:
        return -sum(
            role_hint(group.name, kind.gates[gate])
            for group, gates in zip(groups, roles, strict=True)
            for gate in gates
        )

    return sorted(_roles(sizes, tuple(range(len(kind.gates)))), key=hinted)


def _roles(sizes: list[int], free: tuple[int, ...]) -> Iterator[Roles]:
    if not sizes:
        yield ()
        return
    for taken in combinations(free, sizes[0]):
        left = tuple(gate for gate in free if gate not in taken)
        for rest in _roles(sizes[1:], left):
            yield (taken, *rest)


def _place(
    group: Group,
    gates: tuple[int, ...],
    parts: tuple[str, ...],
    transposed: bool,
    sides: tuple[str, str],
) -> list[Placement]:
    placed = []
    for matrix in group.matrices:
        form = _form(matrix, parts, transposed)
        targets = {"x": "ih", "h": "hh", "1": "b_hh" if matrix.reads == {"h"} else "b_ih"}
        placed += [Placement(matrix.name, form, targets[part], gates) for part in form.parts]
    taken = [side for _, side in group.biases if side]
    free = iter([side for side in sides if side not in taken])
    for bias, side in group.biases:
        placed.append(Placement(bias.name, bias.forms[0], side or next(free), gates))
    return placed


def _form(matrix: Block, parts: tuple[str, ...], transposed: bool) -> Form:
    fitting = [form for form in matrix.forms if len(matrix.reads) == 1 or form.parts == parts]
    lying = [form for form in fitting if form.transposed == transposed]
    return (lying or fitting)[0]


def _peepholes(blocks: tuple[Block, ...]) -> Iterator[tuple[Placement, ...]]:
    """Where what may read c can sit: on i, f and o, in any order."""
    free = (0, 1, 3)
    for order in permutations(free):
        gates = iter(order)
        taken = [tuple(islice(gates, block.gates)) for block in blocks]
        if all(len(each) == block.gates for each, block in zip(taken, blocks, strict=True)):
            yield tuple(
                Placement(block.name, block.forms[0], "peephole", each)
                for block, each in zip(blocks, taken, strict=True)
            )
        if not blocks:
            return
