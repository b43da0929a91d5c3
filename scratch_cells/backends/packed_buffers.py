"""The buffers of packed sequences, cut into blocks of time steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from scratch_cells.backends.buffer_pool import BUFFER_POOL, empty_for_caller
from scratch_cells.backends.cell_kernel import Block, CellKernel
from scratch_cells.backends.packed_rows import PackedRows, packed_rows
from scratch_cells.backends.sequence_buffers import SequenceBuffers, steps_of_a_block


@dataclass
class PackedBuffers(SequenceBuffers):
    """The buffers of packed sequences: no row of a finished sequence is stored.

    As in ``SequenceBuffers``, with one dimension for the rows of all steps in the place of (T, B).
    ``packed_rows`` describes h and c. If no backward pass follows, c is (B, H): the current cell
    state of every sequence.

    Attributes:
        steps: maximum number of rows in a block; a block has at least one time step.
        rows: where the rows are.
    """

    rows: PackedRows

    @classmethod
    def allocate_packed(
        cls,
        kernel_class: type[CellKernel],
        input: Tensor,
        state: Sequence[Tensor],
        needs_backward: bool,
        reverse: bool,
        batch_sizes: tuple[int, ...],
    ) -> Self:
        """Buffers for the forward pass from an initial ``state``, uninitialized."""
        layout, h_0, size = kernel_class.layout, state[0], state[-1].size(1)
        rows = packed_rows(batch_sizes)
        steps = steps_of_a_block(kernel_class, rows.total, 1, size)
        of_a_block = rows.in_largest_span(steps)
        stored = rows.total if needs_backward else of_a_block
        states = rows.batch + rows.total

        def buffer(rows: int, count: int = 1) -> Tensor:
            return BUFFER_POOL.empty(rows, count * size, like=h_0)

        h = BUFFER_POOL.empty(states, h_0.size(1), like=h_0)
        return cls(
            input=input,
            d_input=None,
            h=h,
            c=buffer(states if needs_backward else rows.batch) if layout.has_cell_state else h[:0],
            # The gates of an RNN are not saved; a kernel may compute in their place.
            gates=buffer(of_a_block if layout.gates_are_states else stored, layout.gate_count),
            extra=buffer(stored) if layout.saves_extra else h[:0],
            steps=steps,
            needs_backward=needs_backward,
            reverse=reverse,
            rows=rows,
        )

    def set_initial_state(self, state: Sequence[Tensor]) -> None:
        for buffer, part in zip((self.h, self.c), state, strict=False):
            if self.reverse and len(buffer) > self.rows.batch:
                buffer.index_copy_(0, torch.from_numpy(self.rows.last_rows), part)
            else:
                buffer[: self.rows.batch] = part

    def outputs(self, dtype: torch.dtype | None = None) -> Tensor:
        """h after each step, (ΣT, size), in memory that nothing else uses and not as a view."""
        outputs = empty_for_caller(self.rows.total, self.h.size(1), like=self.h, dtype=dtype)
        if self.reverse:
            earlier = torch.from_numpy(self.rows.earlier_rows)
            if outputs.dtype is self.h.dtype:
                return torch.index_select(self.h, 0, earlier, out=outputs)
            return outputs.copy_(self.h.index_select(0, earlier))
        return outputs.copy_(self.h[self.rows.batch :])

    def final_state(self) -> list[Tensor]:
        """The state of every sequence after its last step of the forward pass, (B, size) each."""
        return [self._final(buffer) for buffer in (self.h, self.c) if len(buffer)]

    def _final(self, buffer: Tensor) -> Tensor:
        if self.reverse or len(buffer) == self.rows.batch:
            return buffer[: self.rows.batch].clone()
        return buffer.index_select(0, torch.from_numpy(self.rows.last_rows))

    def new_gradients(self, columns: int, like: Tensor) -> Tensor:
        """An uninitialized buffer for the gradients of the steps of a block, (rows, columns)."""
        return BUFFER_POOL.empty(self.rows.in_largest_span(self.steps), columns, like=like)

    def blocks(self) -> list[tuple[slice, Block]]:
        """Each block with its rows in the sequence, in the order of the forward pass."""
        spans = self.rows.spans(self.steps)
        return [self._packed_block(*span) for span in (spans[::-1] if self.reverse else spans)]

    def _packed_block(self, first: int, end: int) -> tuple[slice, Block]:
        """The block of the steps from ``first`` to ``end``, without ``end``."""
        rows = self.rows.part(first, end)
        start, stop = (int(rows.offsets[i] - self.rows.batch) for i in (1, -1))
        span = slice(start, stop)
        earlier, own = slice(int(rows.offsets[0]), int(rows.offsets[-2])), slice(0, stop - start)
        later = slice(int(rows.offsets[1]), int(rows.offsets[-1]))
        before, after = (later, earlier) if self.reverse else (earlier, later)
        order = list(range(end - first))
        one_c = not self.needs_backward  # the same rows before and after each step
        return span, Block(
            order=order[::-1] if self.reverse else order,
            input=self.input[span],
            d_input=None if self.d_input is None else self.d_input[span],
            gates=self.gates[span if len(self.gates) == self.rows.total else own],
            h_before=self.h[before],
            h_after=self.h[after],
            c_before=self.c if one_c else self.c[before],
            c_after=self.c if one_c else self.c[after],
            extra=self.extra[span if self.needs_backward else own],
            needs_backward=self.needs_backward,
            packed=rows,
        )
