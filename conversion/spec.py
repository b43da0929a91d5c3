"""What a layer is, without its implementation: the form that every conversion reads and writes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import scratch_cells
from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.verify import verify_program
from cell_verifier.reference.kinds import KINDS
from cell_verifier.report import Report
from scratch_cells.recurrent_stack import RecurrentStack

Array = NDArray[Any]

GATES = {"rnn": "n", "gru": "rzn", "lstm": "ifgo"}
"""The order of the gates in torch.nn's rows, one letter a gate."""

CLASSES: dict[str, tuple[type[nn.Module], type[RecurrentStack]]] = {
    "rnn": (nn.RNN, scratch_cells.RNN),
    "gru": (nn.GRU, scratch_cells.GRU),
    "lstm": (nn.LSTM, scratch_cells.LSTM),
}


class ConversionError(ValueError):
    """A layer has what the other format cannot hold, or the converted layer computes otherwise."""


class CellArrays(NamedTuple):
    """The weights of one layer and direction, with torch.nn's rows."""

    w_ih: Array  # (G*H, I)
    w_hh: Array  # (G*H, H)
    b_ih: Array | None  # (G*H,)
    b_hh: Array | None


@dataclass(frozen=True)
class LayerSpec:
    """A layer: its kind, its weights and its options.

    Attributes:
        kind: ``"rnn"``, ``"gru"`` or ``"lstm"``.
        cells: layer by layer, forward before reverse.
        num_directions: 1 or 2.
        nonlinearity: of an RNN, ``"tanh"`` or ``"relu"``.
        batch_first: whether the input is (B, T, I).
    """

    kind: str
    cells: Sequence[CellArrays]
    num_directions: int = 1
    nonlinearity: str = "tanh"
    batch_first: bool = True

    @property
    def num_layers(self) -> int:
        return len(self.cells) // self.num_directions

    @property
    def hidden_size(self) -> int:
        return int(self.cells[0].w_hh.shape[1])

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights by torch.nn's names."""
        named = {}
        for index, cell in enumerate(self.cells):
            layer, direction = divmod(index, self.num_directions)
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            for name, part in zip(
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), cell, strict=True
            ):
                if part is not None:
                    named[name + suffix] = torch.tensor(part)
        return named


def spec_of(layer: nn.Module) -> LayerSpec:
    """The specification of a layer of scratch_cells or torch.nn.

    Raises:
        ConversionError: it is not an RNN, a GRU or an LSTM, or has a projection.
    """
    kind = next((name for name, each in CLASSES.items() if isinstance(layer, each)), None)
    if kind is None:
        raise ConversionError(
            f"layer is a {type(layer).__name__}: expected an RNN, GRU or LSTM of scratch_cells or "
            "torch.nn; convert the recurrent layer of the model alone"
        )
    if getattr(layer, "proj_size", 0):
        raise ConversionError(
            f"layer has proj_size={layer.proj_size}, which ONNX, Keras and Flax have no place for: "
            "use proj_size=0"
        )
    directions = 2 if layer.bidirectional else 1
    cells = []
    for index in range(layer.num_layers * directions):  # type: ignore[operator]  # int
        suffix = f"_l{index // directions}" + ("_reverse" if index % directions else "")
        names = ("weight_ih", "weight_hh") + (("bias_ih", "bias_hh") if layer.bias else ())
        parts = [getattr(layer, name + suffix).detach().cpu().numpy() for name in names]
        cells.append(CellArrays(*parts, *[None] * (4 - len(parts))))
    nonlinearity = str(getattr(layer, "nonlinearity", "tanh"))
    return LayerSpec(kind, cells, directions, nonlinearity, bool(layer.batch_first))


def layer_of_spec(spec: LayerSpec) -> RecurrentStack:
    """A hand-written layer with the weights of a specification, in eval mode.

    Raises:
        ConversionError: the shapes of the weights do not fit one another.
    """
    first = spec.cells[0]
    options: dict[str, Any] = {"nonlinearity": spec.nonlinearity} if spec.kind == "rnn" else {}
    weights = spec.state_dict()
    layer = CLASSES[spec.kind][1](
        int(first.w_ih.shape[1]), spec.hidden_size, spec.num_layers,
        bias=any(part is not None for cell in spec.cells for part in cell[2:]),
        batch_first=spec.batch_first, bidirectional=spec.num_directions == 2,
        dtype=weights["weight_ih_l0"].dtype, **options,
    )  # fmt: skip
    try:
        layer.load_state_dict(weights)
    except RuntimeError as error:
        raise ConversionError(
            f"the weights are not those of one {spec.kind.upper()}: {' '.join(str(error).split())}"
        ) from error
    return layer.eval()


def with_both_biases(spec: LayerSpec) -> LayerSpec:
    """The specification with zeros for a bias that only some cells have."""
    if all(part is None for cell in spec.cells for part in cell[2:]):
        return spec
    cells = []
    for cell in spec.cells:
        zeros = np.zeros(len(cell.w_ih), cell.w_ih.dtype)
        b_ih, b_hh = (zeros if part is None else part for part in cell[2:])
        cells.append(CellArrays(cell.w_ih, cell.w_hh, b_ih, b_hh))
    return replace(spec, cells=cells)


def reordered(rows: Array, source: str, target: str) -> Array:
    """Rows of stacked gates in another order; an order has one letter a gate."""
    blocks = rows.reshape(len(source), -1, *rows.shape[1:])
    return blocks[[source.index(gate) for gate in target]].reshape(rows.shape)


def check(
    converted: Any, spec: LayerSpec, what: str, *, sizes_may_be_frozen: bool = False
) -> Report:
    """Verify that a converted layer computes what torch.nn's does with the specification's weights.

    Args:
        converted: a path, an object or a function, as for ``cell_verifier.verify``.
        spec: the layer that it should equal.
        what: its name in the message.
        sizes_may_be_frozen: whether it may be right for one number of time steps or samples only.

    Returns:
        The verifier's report.

    Raises:
        ConversionError: it differs, or cannot be run.
    """
    try:
        report = verify_program(
            converted, KINDS[spec.kind], spec.state_dict(), nonlinearity=spec.nonlinearity
        )
    except CannotCheckError as error:
        raise ConversionError(f"{what} cannot be checked: {error}") from error
    frozen = bool(report.mistakes) and {"frozen-length", "frozen-batch"} >= set(report.mistakes)
    if report.verdict != "equal" and not (sizes_may_be_frozen and frozen):
        raise ConversionError(f"{what} does not equal the layer: {report.reason}")
    return report
