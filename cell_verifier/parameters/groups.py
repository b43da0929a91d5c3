"""Sort the user's parameters into groups: the weights and biases of one gate or of several."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from cell_verifier.parameters.layouts import UserParameter, possible_layouts
from cell_verifier.parameters.names import group_by_mark, marks_of, series_by_marks
from cell_verifier.reference.kinds import Kind

NORMALIZATIONS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
"""Normalization layers, whose parameters are not gate weights."""


def is_normalization(module: nn.Module) -> bool:
    """Whether it is a normalization layer, also one compiled by TorchScript."""
    scripted = getattr(module, "original_name", "")
    return isinstance(module, NORMALIZATIONS) or scripted in {
        each.__name__ for each in NORMALIZATIONS
    } | {"BatchNorm1d"}


@dataclass(frozen=True)
class Group:
    """The parameters of one gate, of a few fused gates, or of all gates.

    Attributes:
        matrices: the matrices that multiply x, h or both.
        biases: each bias with its side, ``b_ih`` or ``b_hh``, or "" if that is undetermined.
        gates: the number of gates.
    """

    matrices: tuple[UserParameter, ...]
    biases: tuple[tuple[UserParameter, str], ...]
    gates: int

    @property
    def name(self) -> str:
        """The names of its parameters, joined, to look for names of gates in them."""
        parameters = [*self.matrices, *(bias for bias, _ in self.biases)]
        return " ".join(parameter.name for parameter in parameters)


@dataclass(frozen=True)
class Grouping:
    """One way to sort all parameters.

    Attributes:
        whole: the parameters that hold every gate, in torch.nn's row order.
        groups: those that hold fewer gates; which gates is not yet known.
        peepholes: possible peephole weights, of no particular group.
        extra: names of the parameters without a place.
    """

    whole: Group
    groups: tuple[Group, ...]
    peepholes: tuple[UserParameter, ...] = ()
    extra: tuple[str, ...] = ()


@dataclass
class _SortedParameters:
    """The parameters by what they multiply; intermediate result of the sorting.

    Attributes:
        x, h, joined: the matrices that multiply x, h, or both.
        unattached: the biases that do not belong to one matrix.
        attached: the biases that do, by the name of that matrix.
        extra: names of the parameters without a place.
    """

    x: list[UserParameter] = field(default_factory=list)
    h: list[UserParameter] = field(default_factory=list)
    joined: list[UserParameter] = field(default_factory=list)
    unattached: list[UserParameter] = field(default_factory=list)
    attached: dict[str, UserParameter] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)


def user_parameters(
    module: nn.Module, kind: Kind, without: Collection[str]
) -> tuple[list[UserParameter], list[str]]:
    """The parameters that can hold rows of gates, and the names of those that cannot."""
    parameters, extra = [], []
    for name, tensor in module.named_parameters():
        parameter = _user_parameter(module, name, tensor, kind)
        if parameter.layouts and name not in without:
            parameters.append(parameter)
        else:
            extra.append(name)
    return parameters, extra


def _user_parameter(module: nn.Module, name: str, tensor: Tensor, kind: Kind) -> UserParameter:
    owner = name.rpartition(".")[0]
    holder = module.get_submodule(owner)
    linear = isinstance(holder, nn.Linear)
    normalizes = is_normalization(holder)
    possible = [] if normalizes else possible_layouts(tuple(tensor.shape), len(kind.gates))
    if linear:  # the weight of an nn.Linear is (out, in)
        possible = [layout for layout in possible if not layout.transposed]
    return UserParameter(name, tuple(possible), owner, linear)


def groupings(module: nn.Module, kind: Kind, without: Collection[str] = ()) -> Iterator[Grouping]:
    """Every way to sort the parameters, the most likely first; ``without`` are extra."""
    parameters, extra = user_parameters(module, kind, without)
    by_role = _sort(parameters)
    by_role.extra = extra
    gates = len(kind.gates)
    whole = _take_whole(by_role, gates)
    for groups, rest in _gate_groups(by_role, gates, bool(whole.biases)):
        has_c = kind.name == "lstm"
        peepholes = tuple(each for each in rest if has_c and each.gates < gates)
        left = tuple(each.name for each in rest if each not in peepholes)
        yield Grouping(whole, groups, peepholes, (*by_role.extra, *left))


def _sort(parameters: list[UserParameter]) -> _SortedParameters:
    by_role = _SortedParameters()
    for parameter in parameters:
        if parameter.is_bias:
            continue
        if len(parameter.reads) == 2:
            by_role.joined.append(parameter)
        else:
            (by_role.x if "x" in parameter.reads else by_role.h).append(parameter)
    for parameter in parameters:
        if parameter.is_bias:
            matrix = _neighbour(parameter, parameters)
            if matrix is None:
                by_role.unattached.append(parameter)
            else:
                by_role.attached[matrix.name] = parameter
    return by_role


def _neighbour(bias: UserParameter, parameters: list[UserParameter]) -> UserParameter | None:
    """The matrix of the bias: a submodule with exactly one matrix and one bias is a linear map."""
    near = [each for each in parameters if each.owner == bias.owner]
    matrices = [each for each in near if not each.is_bias]
    is_linear_map = bias.owner and len(near) == 2 and len(matrices) == 1
    return matrices[0] if is_linear_map and matrices[0].gates == bias.gates else None


def _take_whole(by_role: _SortedParameters, gates: int) -> Group:
    """Remove the parameters that hold every gate from ``by_role``; return them as a group."""
    matrices, biases = [], []
    for series in (by_role.joined, by_role.x, by_role.h):
        for parameter in [each for each in series if each.gates == gates][:1]:
            series.remove(parameter)
            matrices.append(parameter)
            biases += _own_bias(by_role, parameter)
    free_sides = 2 - len(biases)
    for bias in [each for each in by_role.unattached if each.gates == gates][:free_sides]:
        by_role.unattached.remove(bias)
        biases += [(bias, "b_ih"), (bias, "b_hh")] if bias.both_biases else [(bias, "")]
    return Group(tuple(matrices), tuple(biases), gates)


def _own_bias(by_role: _SortedParameters, matrix: UserParameter) -> list[tuple[UserParameter, str]]:
    bias = by_role.attached.get(matrix.name)
    side = "b_hh" if matrix.reads == {"h"} else "b_ih"
    return [(bias, side)] if bias is not None else []


def _gate_groups(
    by_role: _SortedParameters, gates: int, whole_biases: bool
) -> Iterator[tuple[tuple[Group, ...], list[UserParameter]]]:
    """Every way to form gate groups, each with the parameters left over."""
    for first, rest in _matrix_groups(by_role):
        groups = [
            Group(
                matrices,
                tuple(own for matrix in matrices for own in _own_bias(by_role, matrix)),
                matrices[0].gates,
            )
            for matrices in first
        ]
        if groups:
            for with_biases, left in _share_biases(groups, by_role.unattached):
                yield tuple(with_biases), [*rest, *left]
        else:
            series, left = _bias_series(by_role.unattached, gates, whole_biases)
            yield (
                tuple(
                    Group((), tuple((parameter, "") for parameter in same), same[0].gates)
                    for same in zip(*series, strict=True)
                ),
                [*rest, *left],
            )


def _matrix_groups(
    by_role: _SortedParameters,
) -> Iterator[tuple[list[tuple[UserParameter, ...]], list[UserParameter]]]:
    """Pair input and recurrent matrices, by name first, then by order; joined ones stay alone."""
    joined: list[tuple[UserParameter, ...]] = [(each,) for each in by_role.joined]
    x, h = by_role.x, by_role.h
    if not x or not h:
        # The other matrix is stacked whole, or both are joined: these are the gates of one side.
        alone = [] if by_role.joined else [*x, *h]
        yield [*joined, *((each,) for each in alone)], [] if alone else [*x, *h]
        return
    by_name = {each.name: each for each in h}
    marks = marks_of([each.name for each in x])
    for series in series_by_marks(list(by_name), marks):
        paired = [by_name[name] for name in series]
        if [each.gates for each in paired] == [each.gates for each in x]:
            rest = [each for each in h if each not in paired]
            yield [*joined, *zip(x, paired, strict=True)], rest
    if len(h) >= len(x):
        yield [*joined, *zip(x, h, strict=False)], h[len(x) :]


def _share_biases(
    groups: list[Group], unattached: list[UserParameter]
) -> Iterator[tuple[list[Group], list[UserParameter]]]:
    """Assign the unattached biases to the groups, by name first, then by order.

    Yields the groups with their biases, and the biases left over.
    """
    if not unattached:
        yield groups, []
        return
    first_names = [group.matrices[0].name for group in groups]
    marks = marks_of(first_names)
    by_name = {bias.name: bias for bias in unattached}
    series = series_by_marks(list(by_name), marks)[:2] if len(groups) > 1 else []
    if series:
        used = {name for each in series for name in each}
        assigned = [[by_name[each[n]] for each in series] for n in range(len(groups))]
        yield _with_biases(groups, assigned), [bias for bias in unattached if bias.name not in used]
    owners = [group_by_mark(bias.name, marks) for bias in unattached]
    if all(owner is not None for owner in owners):
        assigned = [
            [b for b, owner in zip(unattached, owners, strict=True) if owner == n]
            for n in range(len(groups))
        ]
        if all(len(each) <= 2 for each in assigned):
            yield _with_biases(groups, assigned), []
    without = [n for n, group in enumerate(groups) if _lacks_input_bias(group)]
    if len(without) == len(unattached) < len(groups):
        assigned = [
            [unattached[without.index(n)]] if n in without else [] for n in range(len(groups))
        ]
        yield _with_biases(groups, assigned), []
    count = len(groups)
    if len(unattached) >= count:
        second = unattached[count : 2 * count] if len(unattached) >= 2 * count else []
        assigned = [[unattached[n], *second[n : n + 1]] for n in range(count)]
        yield _with_biases(groups, assigned), unattached[count + len(second) :]
        if second:
            yield _with_biases(groups, [unattached[2 * n : 2 * n + 2] for n in range(count)]), []
    yield groups, unattached


def _lacks_input_bias(group: Group) -> bool:
    """Whether no bias of the group is known to be b_ih."""
    return all(side != "b_ih" for _, side in group.biases)


def _with_biases(groups: list[Group], assigned: list[list[UserParameter]]) -> list[Group]:
    return [
        replace(group, biases=(*group.biases, *((parameter, "") for parameter in parameters)))
        for group, parameters in zip(groups, assigned, strict=True)
    ]


def _bias_series(
    unattached: list[UserParameter], gates: int, whole_biases: bool
) -> tuple[list[list[UserParameter]], list[UserParameter]]:
    """Series of one bias per gate, in a cell whose matrices are stacked; and what is left over."""
    families: dict[str, list[UserParameter]] = {}
    for parameter in unattached:
        stem = re.sub(r"[^_.]+$", "", parameter.name) or parameter.name[:-1]
        families.setdefault(stem, []).append(parameter)
    series = [each for each in families.values() if len(each) == gates][:2]
    if whole_biases or not series:
        return [], unattached
    return series, [each for each in unattached if not any(each in one for one in series)]
