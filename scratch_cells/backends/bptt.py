"""Backpropagation through time as one autograd function.

The reference loop leaves the gradient to autograd, which saves every intermediate tensor of every
time step and visits each of them once more. Here the whole sequence is one node of the graph: it
saves gates and states in whole-sequence buffers, and a kernel computes its gradient. The gradient
of the recurrent weight takes one matrix product for each block of steps instead of one a step.

    forward     the blocks in the order of the forward pass: gates and states
    backward    the blocks in the opposite order: dx, dh, dc, and their part of dW_ih, dW_hh, db

Blocks are short, so that a block fits in the cache.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from scratch_cells.backends.buffer_pool import BUFFER_POOL
from scratch_cells.backends.cell_kernel import Block, CellKernel
from scratch_cells.backends.eligibility import context_problem, is_plain_tensor
from scratch_cells.cell import Cell, parts, whole
from scratch_cells.unroll import unroll
from shared_interface import State

BLOCK_ELEMENTS = 2**19
"""Elements in the gates of one block: 2 MiB in float32, about the size of a core's cache."""

WEIGHTS = (
    "input_to_hidden.weight",
    "hidden_to_hidden.weight",
    "input_to_hidden.bias",
    "hidden_to_hidden.bias",
)
"""The parameters in the order of the operands: W_ih, W_hh, b_ih, b_hh."""


def apply_bptt(
    cell: Cell, kernel_class: type[CellKernel], operands: list[Tensor | None], reverse: bool
) -> tuple[Tensor, State]:
    """Run a cell over a sequence as one node of the autograd graph.

    Args:
        cell: the cell, for the reference loop's gradient where this one does not apply.
        kernel_class: a kernel that supports the operands.
        operands: x, W_ih, W_hh, b_ih, b_hh and the parts of the state.
        reverse: see :func:`~scratch_cells.unroll.unroll`.

    Returns:
        What :func:`~scratch_cells.unroll.unroll` returns.
    """
    needs_backward = torch.is_grad_enabled() and any(
        operand.requires_grad for operand in operands if operand is not None
    )
    outputs, *final = BPTTFunction.apply(cell, kernel_class, needs_backward, reverse, *operands)
    return outputs, whole(final)


@dataclass(frozen=True)
class SequenceBuffers:
    """The buffers of one sequence, cut into blocks.

    If no backward pass follows, one block of ``gates`` is reused for every block, and one step of
    ``c`` and of ``extra`` for every step. That takes less memory, and they stay in the cache.

    Attributes:
        input: x, (T, B, I).
        d_input: output buffer for the gradient of x, (T, B, I), or None.
        h, c: the state before the first step and after each step, (T+1, B, H); c is empty for a
            cell without a cell state. With ``reverse``, the first step is the last of the sequence.
        gates, extra: see :class:`~scratch_cells.backends.cell_kernel.Block`.
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
        h_0: Tensor,
        needs_backward: bool,
        reverse: bool,
    ) -> Self:
        """Buffers for the forward pass, uninitialized."""
        layout = kernel_class.layout
        time = len(input)
        batch, size = h_0.shape
        steps = time
        if kernel_class.uses_blocks:
            step_elements = max(1, batch * size * layout.gate_count)
            steps = min(time, max(1, BLOCK_ELEMENTS // step_elements))
        rows = time if needs_backward else steps

        def buffer(rows: int, count: int = 1) -> Tensor:
            return BUFFER_POOL.empty(rows, batch, count * size, like=h_0)

        def buffer_for_backward(rows: int) -> Tensor:
            return buffer(rows) if needs_backward else buffer(1).expand(rows, -1, -1)

        h = buffer(time + 1)
        return cls(
            input=input,
            d_input=None,
            h=h,
            c=buffer_for_backward(time + 1 if layout.has_cell_state else 0),
            gates=_after(h, reverse)
            if layout.gates_are_states
            else buffer(rows, layout.gate_count),
            extra=buffer_for_backward(rows if layout.saves_extra else 0),
            steps=steps,
            needs_backward=needs_backward,
            reverse=reverse,
        )

    def set_initial_state(self, state: tuple[Tensor, ...]) -> None:
        """Copy the initial state into the buffers."""
        for buffer, part in zip((self.h, self.c), state, strict=False):
            buffer[-1 if self.reverse else 0] = part

    def outputs(self) -> Tensor:
        """h after each step, (T, B, H)."""
        return _after(self.h, self.reverse)

    def final_state(self) -> list[Tensor]:
        """The state after the last step of the forward pass, (B, H) each part."""
        last = 0 if self.reverse else -1
        return [buffer[last].clone() for buffer in (self.h, self.c) if len(buffer)]

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
            input=self.input[span],
            d_input=None if self.d_input is None else self.d_input[span],
            gates=self.gates[own],
            h_before=self.h[before],
            h_after=self.h[after],
            c_before=self.c[before],
            c_after=self.c[after],
            extra=self.extra[own],
            needs_backward=self.needs_backward,
        )


def _after(h: Tensor, reverse: bool) -> Tensor:
    """h without the state before the first step: (T+1, B, H) -> (T, B, H)."""
    return h[:-1] if reverse else h[1:]


class BPTTFunction(torch.autograd.Function):
    """A cell over a sequence, as one node of the autograd graph."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: Cell,
        kernel_class: type[CellKernel],
        needs_backward: bool,
        reverse: bool,
        input: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None,
        b_hh: Tensor | None,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        kernel = kernel_class(w_ih, w_hh, b_ih, b_hh, len(input))
        buffers = SequenceBuffers.allocate(kernel_class, input, state[0], needs_backward, reverse)
        buffers.set_initial_state(state)
        for _, block in buffers.blocks():
            kernel.forward(block)
        outputs, final = buffers.outputs(), buffers.final_state()
        if not needs_backward:
            return outputs, *final
        ctx.cell, ctx.kernel_class = cell, kernel_class
        ctx.reverse, ctx.steps = reverse, buffers.steps
        ctx.set_materialize_grads(False)
        saved = (input, w_ih, w_hh, b_ih, b_hh, *state)
        saved += (buffers.h, buffers.c, buffers.gates, buffers.extra)
        ctx.save_for_backward(*saved)
        ctx.saved_as = [None if tensor is None else _metadata(tensor) for tensor in saved]
        # A copy, because the caller may change the outputs in place and the gradient needs h.
        outputs = BUFFER_POOL.empty(*outputs.shape, like=outputs).copy_(outputs)
        ctx.returned_as = [_metadata(tensor) for tensor in (outputs, *final)]
        return outputs, *final

    @staticmethod
    def backward(ctx: Any, *d_returned: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        d_returned = tuple(
            d.resolve_neg() if d is not None and d.is_neg() else d for d in d_returned
        )
        if _is_exact_backward(ctx, saved, d_returned):
            gradients = _backward_by_kernel(ctx, saved, d_returned)
        else:
            gradients = _backward_by_reference_loop(ctx, saved[:-4], d_returned)
        return *[None] * 4, *gradients


Metadata = tuple[torch.Size, torch.dtype, torch.device]


def _metadata(tensor: Tensor) -> Metadata:
    return tensor.shape, tensor.dtype, tensor.device


def _is_exact_backward(
    ctx: Any, saved: tuple[Tensor | None, ...], d_returned: tuple[Tensor | None, ...]
) -> bool:
    """Whether the kernel computes the gradient that autograd computes for the reference loop.

    It does not if the gradient is itself to be differentiated, if a mode or transform such as vmap
    is active, or if a hook has replaced a saved tensor or a gradient with one of another kind.
    """
    return (
        not torch.is_grad_enabled()
        and context_problem() is None
        and not any(_is_batched(d) for d in d_returned if d is not None)
        and all(
            (tensor is None) == (expected is None)
            and (tensor is None or (is_plain_tensor(tensor) and _metadata(tensor) == expected))
            for tensor, expected in zip(saved, ctx.saved_as, strict=True)
        )
        and all(
            d is None or (is_plain_tensor(d) and _metadata(d) == expected)
            for d, expected in zip(d_returned, ctx.returned_as, strict=True)
        )
    )


def _is_batched(gradient: Tensor) -> bool:
    """Whether vmap, of torch.func or of torch.autograd, runs the backward pass."""
    functorch = torch._C._functorch
    return functorch.is_legacy_batchedtensor(gradient) or functorch.is_batchedtensor(gradient)


def _backward_by_kernel(
    ctx: Any, saved: tuple[Tensor, ...], d_returned: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """The gradients of x, W_ih, W_hh, b_ih, b_hh and the parts of the state."""
    input, w_ih, w_hh, b_ih, b_hh, *state, h, c, gates, extra = saved
    d_outputs, *d_final = d_returned
    kernel: CellKernel = ctx.kernel_class(w_ih, w_hh, b_ih, b_hh, len(input))
    d_input = BUFFER_POOL.empty(*input.shape, like=h) if ctx.needs_input_grad[4] else None
    # A saved-tensor hook may have returned the buffers in another memory layout.
    buffers = SequenceBuffers(
        input=input,
        d_input=d_input,
        h=h.contiguous(),
        c=c.contiguous(),
        gates=gates.contiguous(),
        extra=extra.contiguous(),
        steps=ctx.steps,
        needs_backward=True,
        reverse=ctx.reverse,
    )
    d_state = [
        torch.zeros_like(part) if d_part is None else d_part.clone()
        for part, d_part in zip(state, d_final, strict=True)
    ]
    d_w_ih, d_w_hh = kernel.new_accumulator(w_ih), kernel.new_accumulator(w_hh)
    columns = kernel.layout.gradient_count * w_hh.size(1)
    d_b = w_hh.new_zeros(columns)
    d_steps = BUFFER_POOL.empty(buffers.steps, h.size(1), columns, like=h)
    for span, block in reversed(buffers.blocks()):
        d = d_steps[: len(block.order)]
        kernel.backward(block, None if d_outputs is None else d_outputs[span], d_state, d)
        kernel.add_to_weights(block, d, d_w_ih, d_w_hh)
        d_b += d.sum((0, 1))
    return [
        d_input,
        _row_major(d_w_ih),
        kernel.to_weight_order(_row_major(d_w_hh)),
        None if b_ih is None else kernel.projection_part(d_b),
        None if b_hh is None else kernel.to_weight_order(kernel.recurrent_part(d_b)),
        *d_state,
    ]


def _row_major(d_w: Tensor) -> Tensor:
    """``d_w`` in contiguous layout."""
    contiguous = d_w.stride() == (d_w.size(1), 1)
    return d_w if contiguous else d_w.clone(memory_format=torch.contiguous_format)


class _ReferenceLoop(nn.Module):
    """The reference loop as a module, so that ``functional_call`` can replace its parameters."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, input: Tensor, state: State, reverse: bool) -> tuple[Tensor, ...]:
        outputs, final = unroll(self.cell, input, state, None, reverse)
        return outputs, *parts(final)


def _backward_by_reference_loop(
    ctx: Any, operands: tuple[Tensor | None, ...], d_returned: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """The gradients by autograd, which can differentiate them again."""
    with torch.enable_grad():
        # Views, so that a tensor passed twice, such as a tied bias, gets two gradients.
        views = [None if tensor is None else tensor.view_as(tensor) for tensor in operands]
        weights = {
            f"cell.{name}": view
            for name, view in zip(WEIGHTS, views[1:5], strict=True)
            if view is not None
        }
        input, state = views[0], whole([part for part in views[5:] if part is not None])
        returned = functional_call(
            _ReferenceLoop(ctx.cell), weights, (input, state, ctx.reverse), tie_weights=False
        )
    outputs, d_outputs = zip(
        *((r, d) for r, d in zip(returned, d_returned, strict=True) if d is not None), strict=True
    )
    needed = ctx.needs_input_grad[4:]
    leaves = [view for view, need in zip(views, needed, strict=True) if view is not None and need]
    gradients = iter(
        torch.autograd.grad(
            outputs, leaves, d_outputs, create_graph=torch.is_grad_enabled(), allow_unused=True
        )
    )
    return [next(gradients) if need else None for need in needed]
