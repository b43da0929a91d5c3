"""Record every gate and state of every time step, of a hand-written layer or of torch.nn's."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.cell import Cell, hidden, parts
from scratch_cells.convert import from_torch
from scratch_cells.layers import RecurrentStack
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
        cells: one :class:`CellTrace` per layer and direction, layer by layer, forward before
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
    """
    scratch = layer if isinstance(layer, RecurrentStack) else from_torch(layer)
    if not isinstance(scratch, RecurrentStack):
        raise TypeError(
            f"cannot trace {type(layer).__name__}: expected a layer of scratch_cells or "
            "torch.nn.RNN, GRU or LSTM"
        )
    sequence = time_major(type(scratch).__name__, input, scratch.batch_first)
    directions = 2 if scratch.bidirectional else 1
    cells: list[CellTrace] = []

    def record(
        cell: Cell, input: Tensor, state: State, batch_sizes: tuple[int, ...] | None, reverse: bool
    ) -> tuple[Tensor, State]:
        gates: list[tuple[Tensor, ...]] = []  # one Gates tuple per time step

        def step(projected: Tensor, state: Any) -> Any:
            gates.append(cell.gates(projected, state))
            if getattr(cell.step, "__func__", None) is Cell.step:
                return cell.update(gates[-1], state)
            return cell.step(projected, state)  # overridden: it may compute something else

        states, finals = zip(
            *iterate_steps(cell, input, state, batch_sizes, reverse, step), strict=True
        )

        def restore(steps: tuple[Tensor, ...]) -> Any:
            """Join one tensor per time step to a sequence in the layout of the layer's output."""
            return sequence.restore(join_steps(list(steps), batch_sizes, reverse))

        by_gate = zip(*gates, strict=True)
        by_part = zip(*map(parts, states), strict=True)
        cells.append(
            CellTrace(
                layer=len(cells) // directions,
                reverse=reverse,
                gates=cell.Gates(*map(restore, by_gate)),
                states=dict(zip(cell.state_names, map(restore, by_part), strict=True)),
            )
        )
        return join_steps([hidden(state) for state in states], batch_sizes, reverse), finals[-1]

    output, final = scratch.run(input, state, record)
    return Trace(output, final, tuple(cells))
