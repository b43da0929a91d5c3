"""Record every gate and state of every time step, of a hand-written layer or of torch.nn's."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.backends import check_cell_devices
from scratch_cells.cell import Cell, hidden, parts
from scratch_cells.convert import from_torch
from scratch_cells.recurrent_stack import RecurrentStack
from scratch_cells.sequence import time_major
from scratch_cells.unroll import iterate_steps, join_steps
from shared_interface import State


@dataclass(frozen=True)
class CellTrace:
    """Gates and states of one cell of a layer at every time step.

    Every tensor has the layout of the layer's output: (T, B, H), (B, T, H) if ``batch_first``,
    (T, H) unbatched, a PackedSequence for packed input. In both directions, index t belongs to the
    step at which the cell read time step t of the input.

    Attributes:
        layer: index of the layer, from 0.
        reverse: True for the reverse direction.
        gates: the cell's ``Gates`` tuple, activated: ``gates.forget``, ``gates.reset``, ...
        states: the state after each time step, by name: ``states["hidden"]``, and for an LSTM
            ``states["cell"]``.
    """

    layer: int
    reverse: bool
    gates: Any
    states: dict[str, Any]

    @property
    def hidden(self) -> Any:
        """h after each time step."""
        return self.states["hidden"]

    @property
    def cell(self) -> Any:
        """c after each time step (LSTM only)."""
        return self.states["cell"]


@dataclass(frozen=True)
class Trace:
    """Outputs, gates and states of one call of a layer.

    Attributes:
        output, state: the output and the final state, as the layer returns them.
        cells: one ``CellTrace`` per layer and direction, layer by layer, forward before
            reverse.
    """

    output: Tensor | PackedSequence
    state: State
    cells: tuple[CellTrace, ...]

    def of(self, layer: int = 0, reverse: bool = False) -> CellTrace:
        """Return the trace of one layer and direction; a negative ``layer`` counts from the end."""
        directions = 1 + any(cell.reverse for cell in self.cells)
        layer = range(len(self.cells) // directions)[layer]
        return next(c for c in self.cells if c.layer == layer and c.reverse == reverse)

    def __iter__(self) -> Iterator[CellTrace]:
        return iter(self.cells)

    def _repr_html_(self) -> str:
        """A table of what was recorded; Jupyter shows it for a last line ``trace(...)``."""
        rows = []
        for cell in self.cells:
            direction = "reverse" if cell.reverse else "forward"
            for name, values in {**cell.gates._asdict(), **cell.states}.items():
                data = values.data if isinstance(values, PackedSequence) else values
                data = data.detach()
                shape = tuple(data.shape)
                extremes = f"{float(data.min()):.3g} to {float(data.max()):.3g}"
                columns = (
                    cell.layer,
                    direction,
                    name,
                    shape,
                    extremes,
                    f"{float(data.mean()):.3g}",
                )
                rows.append("".join(f"<td>{escape(str(each))}</td>" for each in columns))
        header = "".join(
            f"<th>{each}</th>"
            for each in ("layer", "direction", "gate or state", "shape", "range", "mean")
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def trace(layer: nn.Module, input: Tensor | PackedSequence, state: State | None = None) -> Trace:
    """Run ``layer`` and record every gate and every state of every time step.

    Args:
        layer: a layer of this package, a layer made by ``layer_of``, or torch.nn's RNN, GRU or
            LSTM. A layer of torch.nn is converted with ``from_torch`` first.
        input, state: the arguments of the layer's call.

    Returns:
        The trace. Its output equals the layer's output, and every tensor in it is part of the
        autograd graph.

    Raises:
        TypeError: ``layer`` is not such a layer.
        RuntimeError, ValueError: input or state has a wrong shape, dtype or device, as in a call.
    """
    scratch = layer if isinstance(layer, RecurrentStack) else from_torch(layer)
    if not isinstance(scratch, RecurrentStack):
        raise TypeError(
            f"cannot trace {type(layer).__name__}: expected a layer of scratch_cells or "
            "torch.nn.RNN, GRU or LSTM"
        )
    sequence = time_major(type(scratch).__name__, input, scratch.batch_first)
    recorder = StepRecorder()
    output, final = scratch.run(input, state, recorder)
    directions = 2 if scratch.bidirectional else 1

    def restore(steps: tuple[Tensor, ...], cell: CellSteps) -> Any:
        """Join one tensor per time step to a sequence in the layout of the layer's output."""
        return sequence.restore(join_steps(list(steps), cell.batch_sizes, cell.reverse))

    cells = []
    for index, recorded in enumerate(recorder.cells):
        by_gate = zip(*recorded.gates, strict=True)
        by_part = zip(*map(parts, recorded.states), strict=True)
        gates = [restore(steps, recorded) for steps in by_gate]
        states = [restore(steps, recorded) for steps in by_part]
        cells.append(
            CellTrace(
                layer=index // directions,
                reverse=recorded.reverse,
                gates=recorded.cell.Gates(*gates),
                states=dict(zip(recorded.cell.state_names, states, strict=True)),
            )
        )
    return Trace(output, final, tuple(cells))


@dataclass(frozen=True)
class CellSteps:
    """Gates and states of one cell, one entry per time step, in the order computed.

    Attributes:
        cell: the cell.
        batch_sizes: as in ``unroll``.
        reverse: True for the reverse direction: the first entry is the last time step.
        gates: the ``Gates`` tuple of each time step, (B, H) each gate.
        states: the state after each time step, (B, size) each part. Unless the sequences are
            packed, the next time step uses these very tensors, so autograd can differentiate with
            respect to them.
    """

    cell: Cell
    batch_sizes: tuple[int, ...] | None
    reverse: bool
    gates: list[tuple[Tensor, ...]]
    states: list[State]


class StepRecorder:
    """An ``Unroll`` that records all gates and states.

    Attributes:
        cells: one ``CellSteps`` per layer and direction, layer by layer, forward before
            reverse.
    """

    def __init__(self) -> None:
        self.cells: list[CellSteps] = []

    def __call__(
        self,
        cell: Cell,
        input: Tensor,
        state: State,
        batch_sizes: tuple[int, ...] | None,
        reverse: bool,
    ) -> tuple[Tensor, State]:
        check_cell_devices(cell, input, state)
        gates: list[tuple[Tensor, ...]] = []

        def step(projected: Tensor, state: Any) -> Any:
            gates.append(cell.gates(projected, state))
            if getattr(cell.step, "__func__", None) is Cell.step:
                return cell.update(gates[-1], state)
            return cell.step(projected, state)  # overridden: it may compute something else

        steps = list(iterate_steps(cell, input, state, batch_sizes, reverse, step))
        states = [updated for updated, _ in steps]
        self.cells.append(CellSteps(cell, batch_sizes, reverse, gates, states))
        _, final = steps[-1]
        return join_steps([hidden(each) for each in states], batch_sizes, reverse), final
