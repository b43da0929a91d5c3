"""Possible layouts of a parameter: which axis of its shape is which.

The sizes of the test module all differ, so a shape determines its axes, except in square matrices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from torch import Tensor

from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE

INPUT_WIDTHS = {
    ("x",): INPUT_SIZE,
    ("h",): HIDDEN_SIZE,
    ("x", "h"): INPUT_SIZE + HIDDEN_SIZE,
    ("h", "x"): INPUT_SIZE + HIDDEN_SIZE,
    ("x", "1"): INPUT_SIZE + 1,
    ("h", "1"): HIDDEN_SIZE + 1,
    ("x", "h", "1"): INPUT_SIZE + HIDDEN_SIZE + 1,
    ("h", "x", "1"): INPUT_SIZE + HIDDEN_SIZE + 1,
    ("1", "x", "h"): INPUT_SIZE + HIDDEN_SIZE + 1,
    ("1", "h", "x"): INPUT_SIZE + HIDDEN_SIZE + 1,
}
"""What a matrix can multiply, and the width of that: x, h, both concatenated, each with or without
a constant 1 whose column is a bias."""


@dataclass(frozen=True)
class ParameterLayout:
    """The layout of a parameter.

    Attributes:
        axes: the names of its axes, without those of size 1: ``rows`` (gates times units), or
            ``gate`` and ``unit``; ``in``, which a bias does not have; ``side``, where b_ih and b_hh
            are one parameter.
        parts: what the axis ``in`` consists of: x, h and 1; empty for a bias.
        gates: the number of gates it holds.
    """

    axes: tuple[str, ...]
    parts: tuple[str, ...]
    gates: int

    @property
    def transposed(self) -> bool:
        """Whether the axis ``in`` comes before the units."""
        unit = "rows" if "rows" in self.axes else "unit"
        return "in" in self.axes and self.axes.index("in") < self.axes.index(unit)

    def gate_rows(self, parameter: Tensor, side: int = 0) -> Tensor:
        """The elements as (gates, H, in), of a bias as (gates, H); side 0 is b_ih, 1 is b_hh."""
        tensor = parameter.squeeze() if 1 in parameter.shape else parameter
        axes = list(self.axes)
        if "side" in axes:
            tensor = tensor.select(axes.index("side"), side)
            axes.remove("side")
        if "rows" in axes:
            at = axes.index("rows")
            tensor = tensor.unflatten(at, (self.gates, -1))
            axes[at : at + 1] = ["gate", "unit"]
        if "gate" not in axes:
            tensor, axes = tensor.unsqueeze(0), ["gate", *axes]
        return tensor.permute([axes.index(axis) for axis in ("gate", "unit", "in") if axis in axes])

    def suffix(self) -> str:
        """The suffix for the report: ``.T`` if transposed."""
        return ".T" if self.transposed else ""


def possible_layouts(shape: tuple[int, ...], gates: int) -> list[ParameterLayout]:
    """Every layout that a parameter of this shape can have in a cell with this number of gates."""
    if 0 in shape:
        return []
    sizes = tuple(size for size in shape if size != 1)
    found = [*_bias_layouts(sizes, gates)]
    for parts, width in INPUT_WIDTHS.items():
        found += _matrix_layouts(sizes, gates, parts, width)
    return found


def _bias_layouts(sizes: tuple[int, ...], gates: int) -> Iterator[ParameterLayout]:
    if len(sizes) == 1 and sizes[0] % HIDDEN_SIZE == 0 and sizes[0] <= gates * HIDDEN_SIZE:
        yield ParameterLayout(("rows",), (), sizes[0] // HIDDEN_SIZE)
    if len(sizes) == 2:
        for axes in (("gate", "unit"), ("unit", "gate")):
            count = sizes[axes.index("gate")]
            if sizes[axes.index("unit")] == HIDDEN_SIZE and 2 <= count <= gates:
                yield ParameterLayout(axes, (), count)
    if len(sizes) > 1 and sizes[0] == 2:  # b_ih and b_hh in one parameter
        for layout in _bias_layouts(sizes[1:], gates):
            if layout.gates == gates and "side" not in layout.axes:
                yield ParameterLayout(("side", *layout.axes), (), gates)


def _matrix_layouts(
    sizes: tuple[int, ...], gates: int, parts: tuple[str, ...], width: int
) -> Iterator[ParameterLayout]:
    if len(sizes) == 2:
        for axes in (("rows", "in"), ("in", "rows")):
            rows = sizes[axes.index("rows")]
            fits = sizes[axes.index("in")] == width and rows % HIDDEN_SIZE == 0
            if fits and rows // HIDDEN_SIZE <= gates:
                yield ParameterLayout(axes, parts, rows // HIDDEN_SIZE)
    if len(sizes) == 3:
        for order in permutations(("gate", "unit", "in")):
            named = dict(zip(order, sizes, strict=True))
            fits = named["unit"] == HIDDEN_SIZE and named["in"] == width
            if fits and 2 <= named["gate"] <= gates:
                yield ParameterLayout(order, parts, named["gate"])


@dataclass(frozen=True)
class UserParameter:
    """A parameter of the user's module that can hold rows of gates.

    Attributes:
        name: its name in the user's module.
        layouts: its possible layouts, at least one.
        owner: path of the submodule that holds it.
        linear: whether that submodule is an ``nn.Linear``.
    """

    name: str
    layouts: tuple[ParameterLayout, ...]
    owner: str
    linear: bool

    @property
    def is_bias(self) -> bool:
        """Whether it is a bias rather than a matrix."""
        return not self.layouts[0].parts

    @property
    def both_biases(self) -> bool:
        """Whether it holds b_ih and b_hh."""
        return "side" in self.layouts[0].axes

    @property
    def gates(self) -> int:
        """The number of gates it holds."""
        return self.layouts[0].gates

    @property
    def reads(self) -> frozenset[str]:
        """What it multiplies: x, h or both."""
        return frozenset(self.layouts[0].parts) - {"1"}
