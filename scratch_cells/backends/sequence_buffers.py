"""The buffers of one sequence, cut into blocks of time steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from scratch_cells.backends.buffer_pool import BUFFER_POOL, empty_for_caller
from scratch_cells.backends.cell_kernel import Block, CellKernel, CellLayout

BLOCK_ELEMENTS = 2**19
"""Elements in the gates of one block: 2 MiB in float32, about the size of a core's cache."""

BLOCK_ROWS = 1024
"""Rows in one block at least: large weights, and their gradients, are read once for each block."""


@dataclass
class SequenceBuffers:
    """The buffers of one sequence, cut into blocks.

    If no backward pass follows, one block of ``gates`` is reused for every block, and one step of
    ``c`` and of ``extra`` for every step. That takes less memory, and they stay in the cache.

    Attributes:
        input: x, (T, B, I).
        d_input: output buffer for the gradient of x, (T, B, I), or None.
        h, c: the state before the first step and after each step, (T+1, B, size); c is empty for a
            cell without a cell state. With ``reverse``, the first step is the last of the sequence.
        gates, extra: see ``Block``.
        steps: number of time steps in a block.
        needs_backward: whether a backward pass may follow.
        reverse: whether the forward pass runs from the last step to the first.
    """

    input: Tensor
    d_input: Tensor | None
    h: Tensor
    c: Tensor
    gates: Tensor
    extra: Tensor
    steps: int
    needs_backward: bool
    reverse: bool

    @classmethod
    def allocate(
        cls,
        kernel_class: type[CellKernel],
        input: Tensor,
        state: Sequence[Tensor],
        needs_backward: bool,
        reverse: bool,
    ) -> Self:
        """Buffers for the forward pass from an initial ``state``, uninitialized."""
        layout = kernel_class.layout
        time = len(input)
        h_0 = state[0]
        batch, size = state[-1].shape  # with a projection, h has another size
        steps = steps_of_a_block(kernel_class, time, batch, size)
        rows = time if needs_backward else steps

        def buffer(rows: int, count: int = 1) -> Tensor:
            return BUFFER_POOL.empty(rows, batch, count * size, like=h_0)

        def buffer_for_backward(rows: int) -> Tensor:
            return buffer(rows) if needs_backward else buffer(1).expand(rows, -1, -1)

        h = BUFFER_POOL.empty(time + 1, *h_0.shape, like=h_0)
        return cls(
            input=input,
            d_input=None,
            h=h,
            c=buffer_for_backward(time + 1) if layout.has_cell_state else h[:0],
            gates=_after(h, reverse)
            if layout.gates_are_states
            else buffer(rows, layout.gate_count),
            extra=buffer_for_backward(rows) if layout.saves_extra else h[:0],
            steps=steps,
            needs_backward=needs_backward,
            reverse=reverse,
        )

    def set_initial_state(self, state: Sequence[Tensor]) -> None:
        """Copy the initial state into the buffers."""
        for buffer, part in zip((self.h, self.c), state, strict=False):
            buffer[-1 if self.reverse else 0] = part

    def outputs(self, dtype: torch.dtype | None = None) -> Tensor:
        """h after each step, (T, B, size), in memory that nothing else uses and not as a view.

        Its dtype is ``dtype``, by default that of the buffers. A caller may change, resize or
        detach it in place, and the gradient needs h.
        """
        outputs = _after(self.h, self.reverse)
        return empty_for_caller(*outputs.shape, like=outputs, dtype=dtype).copy_(outputs)

    def final_state(self) -> list[Tensor]:
        """The state after the last step of the forward pass, (B, size) each part."""
        last = 0 if self.reverse else -1
        return [buffer[last].clone() for buffer in (self.h, self.c) if len(buffer)]

    def saved(self, layout: CellLayout) -> list[Tensor]:
        """The buffers that the gradient needs: h, c, gates and extra, those that the cell has."""
        saved = [self.h]
        saved += [self.c] if layout.has_cell_state else []
        saved += [] if layout.gates_are_states else [self.gates]
        return saved + ([self.extra] if layout.saves_extra else [])

    def new_gradients(self, columns: int, like: Tensor) -> Tensor:
        """An uninitialized buffer for the gradients of a block's steps, (steps, B, columns)."""
        return BUFFER_POOL.empty(self.steps, self.h.size(1), columns, like=like)

    def blocks(self) -> list[tuple[slice, Block]]:
        """Each block with its place in the sequence, in the order of the forward pass."""
        time = len(self.h) - 1
        spans = [slice(a, min(a + self.steps, time)) for a in range(0, time, self.steps)]
        return [(span, self._block(span)) for span in (spans[::-1] if self.reverse else spans)]

    def _block(self, span: slice) -> Block:
        length = span.stop - span.start
        reused = len(self.gates) < len(self.h) - 1
        own = slice(0, length) if reused else span
        later = slice(span.start + 1, span.stop + 1)
        before, after = (later, span) if self.reverse else (span, later)
        order = list(range(length))
        return Block(
            order=order[::-1] if self.reverse else order,
            input=_part(self.input, span),
            d_input=None if self.d_input is None else _part(self.d_input, span),
            gates=_part(self.gates, own),
            h_before=self.h[before],
            h_after=self.h[after],
            c_before=_part(self.c, before),
            c_after=_part(self.c, after),
            extra=_part(self.extra, own),
            needs_backward=self.needs_backward,
        )


def steps_of_a_block(kernel_class: type[CellKernel], time: int, batch: int, size: int) -> int:
    """Number of time steps in a block, for a sequence of (time, batch) and ``size`` units."""
    if time == 1 or not kernel_class.uses_blocks:
        return time
    step_elements = max(1, batch * size * kernel_class.layout.gate_count)
    steps = max(BLOCK_ELEMENTS // step_elements, BLOCK_ROWS // max(1, batch))
    return min(time, max(1, steps))


def _after(h: Tensor, reverse: bool) -> Tensor:
    """h without the state before the first step: (T+1, B, H) -> (T, B, H)."""
    return h[:-1] if reverse else h[1:]


def _part(tensor: Tensor, span: slice) -> Tensor:
    """``tensor[span]``, which takes longer if the span is all of it."""
    length = len(tensor)
    whole = not length or (span.start == 0 and span.stop >= length)
    return tensor if whole else tensor[span]
