"""One parameter of the user's, as rows of gates: what its shape says it can be.

The probe's sizes all differ, so a shape tells which axis is which, but for square matrices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from torch import Tensor

from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE

LAYOUTS = {
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
"""What a matrix may multiply: x, h, both joined, and a constant 1 for a bias in the same matrix."""


@dataclass(frozen=True)
class Form:
    """How a parameter is laid out.

    Attributes:
        axes: of its shape without axes of size 1: ``rows`` (gates times units), ``gate``, ``unit``
            and ``in``; a bias has no ``in``. ``side``: both biases one after the other.
        parts: what lies along ``in``; empty for a bias.
        gates: how many gates it holds.
    """

    axes: tuple[str, ...]
    parts: tuple[str, ...]
    gates: int

    @property
    def transposed(self) -> bool:
        """Whether the input's axis stands before the units'."""
        unit = "rows" if "rows" in self.axes else "unit"
        return "in" in self.axes and self.axes.index("in") < self.axes.index(unit)

    def gate_rows(self, parameter: Tensor, side: int = 0) -> Tensor:
        """The numbers as (gates, H, in), of a bias as (gates, H)."""
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

    def words(self) -> str:
        """What is unusual about it, for the report."""
        return ".T" if self.transposed else ""


def forms(shape: tuple[int, ...], gates: int) -> list[Form]:
    """Everything that a parameter of this shape can be in a cell of so many gates."""
    sizes = tuple(size for size in shape if size != 1)
    found = [*_bias_forms(sizes, gates)]
    for parts, width in LAYOUTS.items():
        found += _matrix_forms(sizes, gates, parts, width)
    return found


def _bias_forms(sizes: tuple[int, ...], gates: int) -> Iterator[Form]:
    if len(sizes) == 1 and sizes[0] % HIDDEN_SIZE == 0 and sizes[0] <= gates * HIDDEN_SIZE:
        yield Form(("rows",), (), sizes[0] // HIDDEN_SIZE)
    if len(sizes) == 2:
        for axes in (("gate", "unit"), ("unit", "gate")):
            count = sizes[axes.index("gate")]
            if sizes[axes.index("unit")] == HIDDEN_SIZE and 2 <= count <= gates:
                yield Form(axes, (), count)
    if len(sizes) > 1 and sizes[0] == 2:  # b_ih and b_hh, one after the other
        for form in _bias_forms(sizes[1:], gates):
            if form.gates == gates and "side" not in form.axes:
                yield Form(("side", *form.axes), (), gates)


def _matrix_forms(
    sizes: tuple[int, ...], gates: int, parts: tuple[str, ...], width: int
) -> Iterator[Form]:
    if len(sizes) == 2:
        for axes in (("rows", "in"), ("in", "rows")):
            rows = sizes[axes.index("rows")]
            fits = sizes[axes.index("in")] == width and rows % HIDDEN_SIZE == 0
            if fits and rows // HIDDEN_SIZE <= gates:
                yield Form(axes, parts, rows // HIDDEN_SIZE)
    if len(sizes) == 3:
        for order in permutations(("gate", "unit", "in")):
            named = dict(zip(order, sizes, strict=True))
            fits = named["unit"] == HIDDEN_SIZE and named["in"] == width
            if fits and 2 <= named["gate"] <= gates:
                yield Form(order, parts, named["gate"])


@dataclass(frozen=True)
class Block:
    """One parameter with its name, and every form that it may have.

    Attributes:
        owner: path of the module that holds it.
        linear: whether that is an ``nn.Linear``.
    """

    name: str
    forms: tuple[Form, ...]
    owner: str
    linear: bool

    @property
    def is_bias(self) -> bool:
        return not self.forms[0].parts

    @property
    def both_biases(self) -> bool:
        return "side" in self.forms[0].axes

    @property
    def gates(self) -> int:
        return self.forms[0].gates

    @property
    def reads(self) -> frozenset[str]:
        """x, h or both."""
        return frozenset(self.forms[0].parts) - {"1"}
