"""Every gate of every step, of a hand-written layer or of torch.nn's own."""

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
    """What one cell of the stack did, step by step.

    Every tensor is laid out as the layer's output is: (T, B, H), (B, T, H) if ``batch_first``,
    (T, H) unbatched, a PackedSequence if packed. Step t is what the cell did when it read step t
    of the input, in both directions.

    Attributes:
        layer: which layer, from 0.
        reverse: whether the cell reads from the last step to the first.
        gates: the cell's ``Gates``: ``gates.forget``, ``gates.reset``, ..., activated.
        states: the state after each step, by name: ``states["hidden"]``, for an LSTM also
            ``states["cell"]``.
    """

    layer: int
    reverse: bool
    gates: Any
    states: dict[str, Any]

    @property
    def hidden(self) -> Any:
        """h after each step."""
        return self.states["hidden"]

    @property
    def cell(self) -> Any:
        """c after each step, of an LSTM."""
        return self.states["cell"]


@dataclass(frozen=True)
class Trace:
    """What a layer did with one input.

    Attributes:
        output, state: what the layer returned.
        cells: one :class:`CellTrace` each, layer by layer, forward before reverse.
    """

    output: Tensor | PackedSequence
    state: State
    cells: tuple[CellTrace, ...]

    def of(self, layer: int = 0, reverse: bool = False) -> CellTrace:
        """The cell of one layer and direction; ``layer`` counts from the end if negative."""
        directions = 1 + any(cell.reverse for cell in self.cells)
        layer = range(len(self.cells) // directions)[layer]
        return next(c for c in self.cells if c.layer == layer and c.reverse == reverse)

    def __iter__(self) -> Iterator[CellTrace]:
        return iter(self.cells)


def trace(layer: nn.Module, input: Tensor | PackedSequence, state: State | None = None) -> Trace:
    """Run ``layer`` and keep every gate, h and c of every step.

    Args:
        layer: a layer of this package, of a cell of your own, or torch.nn's RNN, GRU or LSTM; the
            latter is replayed through its hand-written twin with its weights.
        input, state: what the layer would be called with.

    Returns:
        The trace; its output is the layer's own, and gradients flow through all of it.

    Raises:
        TypeError: ``layer`` is neither.
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
        gates, states, finals = zip(
            *iterate_steps(cell, input, state, batch_sizes, reverse), strict=True
        )

        def along(steps: tuple[Tensor, ...]) -> Any:  # one per step -> laid out as the output
            return sequence.restore(join_steps(list(steps), batch_sizes, reverse))

        by_gate = zip(*gates, strict=True)
        by_part = zip(*map(parts, states), strict=True)
        cells.append(
            CellTrace(
                layer=len(cells) // directions,
                reverse=reverse,
                gates=cell.Gates(*map(along, by_gate)),
                states=dict(zip(cell.state_names, map(along, by_part), strict=True)),
            )
        )
        return join_steps([hidden(state) for state in states], batch_sizes, reverse), finals[-1]

    output, final = scratch.run(input, state, record)
    return Trace(output, final, tuple(cells))
