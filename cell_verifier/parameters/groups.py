"""Sort the user's parameters into gate groups: the weights and biases that belong to one gate."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from cell_verifier.parameters.layouts import Block, forms
from cell_verifier.parameters.names import group_by_mark, marks_of, series_by_marks
from cell_verifier.reference.kinds import Kind

NORMALIZATIONS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
"""What scales and shifts: its parameters are no gate's rows."""


@dataclass(frozen=True)
class Group:
    """What belongs together: all gates' parameters, one gate's, or those of a few fused gates.

    Attributes:
        matrices: those that read x, h or both.
        biases: with the side that they are on, ``b_ih`` or ``b_hh``, or "" where that is open.
        peepholes: what reads c.
        gates: how many gates.
    """

    matrices: tuple[Block, ...]
    biases: tuple[tuple[Block, str], ...]
    gates: int
    peepholes: tuple[Block, ...] = ()

    @property
    def name(self) -> str:
        blocks = [*self.matrices, *(bias for bias, _ in self.biases)]
        return " ".join(block.name for block in blocks)


@dataclass(frozen=True)
class Grouping:
    """A way to sort all parameters.

    Attributes:
        whole: parameters that hold every gate, in torch.nn's row order.
        groups: those that hold fewer; which gates' they are is still to be found.
        peepholes: what may read c, of no particular group.
        extra: parameters with no place.
    """

    whole: Group
    groups: tuple[Group, ...]
    peepholes: tuple[Block, ...] = ()
    extra: tuple[str, ...] = ()


@dataclass
class _Sorted:
    """Blocks by what they are, on the way to a grouping."""

    x: list[Block] = field(default_factory=list)
    h: list[Block] = field(default_factory=list)
    joined: list[Block] = field(default_factory=list)
    loose: list[Block] = field(default_factory=list)
    attached: dict[str, Block] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)


def blocks_of(
    module: nn.Module, kind: Kind, without: Collection[str]
) -> tuple[list[Block], list[str]]:
    """The parameters that can be gates' rows, and the names of those that cannot."""
    blocks, extra = [], []
    for name, parameter in module.named_parameters():
        block = _block(module, name, parameter, kind)
        if block.forms and name not in without:
            blocks.append(block)
        else:
            extra.append(name)
    return blocks, extra


def _block(module: nn.Module, name: str, parameter: Tensor, kind: Kind) -> Block:
    owner = name.rpartition(".")[0]
    holder = module.get_submodule(owner)
    linear = isinstance(holder, nn.Linear)
    scales = isinstance(holder, NORMALIZATIONS)
    possible = [] if scales else forms(tuple(parameter.shape), len(kind.gates))
    if linear:  # an nn.Linear keeps (out, in)
        possible = [form for form in possible if not form.transposed]
    return Block(name, tuple(possible), owner, linear)


def groupings(module: nn.Module, kind: Kind, without: Collection[str] = ()) -> Iterator[Grouping]:
    """Every way to sort the parameters, the likeliest first; some put aside as extra."""
    blocks, extra = blocks_of(module, kind, without)
    by_kind = _sort(blocks)
    by_kind.extra = extra
    gates = len(kind.gates)
    whole = _whole(by_kind, gates)
    for groups, rest in _partial(by_kind, gates, bool(whole.biases)):
        fits = kind.name == "lstm"
        peepholes = tuple(block for block in rest if fits and block.gates < gates)
        left = tuple(block.name for block in rest if block not in peepholes)
        yield Grouping(whole, groups, peepholes, (*by_kind.extra, *left))


def _sort(blocks: list[Block]) -> _Sorted:
    by_kind = _Sorted()
    for block in blocks:
        if block.is_bias:
            continue
        both = len(block.reads) == 2
        (by_kind.joined if both else by_kind.x if "x" in block.reads else by_kind.h).append(block)
    for block in blocks:
        if block.is_bias:
            matrix = _neighbour(block, blocks)
            if matrix is None:
                by_kind.loose.append(block)
            else:
                by_kind.attached[matrix.name] = block
    return by_kind


def _neighbour(bias: Block, blocks: list[Block]) -> Block | None:
    """The one matrix in the same module as the one bias there: they are a linear map."""
    near = [block for block in blocks if block.owner == bias.owner]
    matrices = [block for block in near if not block.is_bias]
    alone = bias.owner and len(near) == 2 and len(matrices) == 1
    return matrices[0] if alone and matrices[0].gates == bias.gates else None


def _whole(by_kind: _Sorted, gates: int) -> Group:
    matrices, biases = [], []
    for series in (by_kind.joined, by_kind.x, by_kind.h):
        for block in [block for block in series if block.gates == gates][:1]:
            series.remove(block)
            matrices.append(block)
            biases += _own_bias(by_kind, block)
    for block in [block for block in by_kind.loose if block.gates == gates][: 2 - len(biases)]:
        by_kind.loose.remove(block)
        biases += [(block, "b_ih"), (block, "b_hh")] if block.both_biases else [(block, "")]
    return Group(tuple(matrices), tuple(biases), gates)


def _own_bias(by_kind: _Sorted, matrix: Block) -> list[tuple[Block, str]]:
    bias = by_kind.attached.get(matrix.name)
    side = "b_hh" if matrix.reads == {"h"} else "b_ih"
    return [(bias, side)] if bias is not None else []


def _partial(
    by_kind: _Sorted, gates: int, whole_biases: bool
) -> Iterator[tuple[tuple[Group, ...], list[Block]]]:
    """The gate groups, and what is left over."""
    for first, rest in _matrix_groups(by_kind):
        groups = [
            Group(
                matrices,
                tuple(own for matrix in matrices for own in _own_bias(by_kind, matrix)),
                matrices[0].gates,
            )
            for matrices in first
        ]
        if groups:
            for with_biases, left in _share_biases(groups, by_kind.loose):
                yield tuple(with_biases), [*rest, *left]
        else:
            series, left = _bias_series(by_kind.loose, gates, whole_biases)
            yield (
                tuple(
                    Group((), tuple((block, "") for block in same), same[0].gates)
                    for same in zip(*series, strict=True)
                ),
                [*rest, *left],
            )


def _matrix_groups(
    by_kind: _Sorted,
) -> Iterator[tuple[list[tuple[Block, ...]], list[Block]]]:
    """Pairs of input and recurrent matrix, joined ones alone; by name first, then by order."""
    joined: list[tuple[Block, ...]] = [(block,) for block in by_kind.joined]
    x, h = by_kind.x, by_kind.h
    if not x or not h:
        # One side is stacked whole, or joined: the other's gates are found alone.
        taken = [] if by_kind.joined else [*x, *h]
        yield [*joined, *((block,) for block in taken)], [] if taken else [*x, *h]
        return
    by_name = {block.name: block for block in h}
    marks = marks_of([block.name for block in x])
    for series in series_by_marks(list(by_name), marks):
        paired = [by_name[name] for name in series]
        if [block.gates for block in paired] == [block.gates for block in x]:
            rest = [block for block in h if block not in paired]
            yield [*joined, *zip(x, paired, strict=True)], rest
    if len(h) >= len(x):
        yield [*joined, *zip(x, h, strict=False)], h[len(x) :]


def _share_biases(
    groups: list[Group], loose: list[Block]
) -> Iterator[tuple[list[Group], list[Block]]]:
    """Give the loose biases to the groups; by name first, then by order."""
    if not loose:
        yield groups, []
        return
    first_names = [group.matrices[0].name for group in groups]
    marks = marks_of(first_names)
    by_name = {block.name: block for block in loose}
    series = series_by_marks(list(by_name), marks)[:2] if len(groups) > 1 else []
    if series:
        taken = {name for each in series for name in each}
        given = [[by_name[each[n]] for each in series] for n in range(len(groups))]
        yield _with_biases(groups, given), [b for b in loose if b.name not in taken]
    owners = [group_by_mark(block.name, marks) for block in loose]
    if all(owner is not None for owner in owners):
        given = [
            [b for b, owner in zip(loose, owners, strict=True) if owner == n]
            for n in range(len(groups))
        ]
        if all(len(each) <= 2 for each in given):
            yield _with_biases(groups, given), []
    without = [n for n, group in enumerate(groups) if _lacks_input_bias(group)]
    if len(without) == len(loose) < len(groups):
        given = [[loose[without.index(n)]] if n in without else [] for n in range(len(groups))]
        yield _with_biases(groups, given), []
    count = len(groups)
    if len(loose) >= count:
        second = loose[count : 2 * count] if len(loose) >= 2 * count else []
        given = [[loose[n], *second[n : n + 1]] for n in range(count)]
        yield _with_biases(groups, given), loose[count + len(second) :]
        if second:
            yield _with_biases(groups, [loose[2 * n : 2 * n + 2] for n in range(count)]), []
    yield groups, loose


def _lacks_input_bias(group: Group) -> bool:
    return all(side != "b_ih" for _, side in group.biases)


def _with_biases(groups: list[Group], given: list[list[Block]]) -> list[Group]:
    return [
        replace(group, biases=(*group.biases, *((block, "") for block in blocks)))
        for group, blocks in zip(groups, given, strict=True)
    ]


def _bias_series(
    loose: list[Block], gates: int, whole_biases: bool
) -> tuple[list[list[Block]], list[Block]]:
    """Biases one per gate beside stacked matrices: series of as many as there are gates."""
    families: dict[str, list[Block]] = {}
    for block in loose:
        families.setdefault(re.sub(r"[^_.]+$", "", block.name) or block.name[:-1], []).append(block)
    series = [each for each in families.values() if len(each) == gates][:2]
    if whole_biases or not series:
        return [], loose
    return series, [block for block in loose if not any(block in each for each in series)]
