"""Backpropagation through time as one autograd function.

The reference loop leaves the gradient to autograd, which saves every intermediate tensor of every
time step and visits each of them once more. Here the whole sequence is one node of the graph: it
saves gates and states in whole-sequence buffers, and a kernel computes its gradient. The gradient
of the recurrent weight takes one matrix product for each block of steps instead of one a step.

    forward     the blocks in the order of the forward pass: gates and states
    backward    the blocks in the opposite order: dx, dh, dc, and their part of dW_ih, dW_hh, db

Blocks are short, so that a block fits in the cache.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scratch_cells.backends.autocast_cache import Autocast, for_graph_and_kernel
from scratch_cells.backends.buffer_pool import empty_for_caller
from scratch_cells.backends.cell_kernel import CellKernel
from scratch_cells.backends.eligibility import Operands
from scratch_cells.backends.packed_buffers import PackedBuffers
from scratch_cells.backends.packed_rows import packed_rows
from scratch_cells.backends.precision import HALF, Precision, without_autocast
from scratch_cells.backends.saved_tensors import run_backward, save_for_backward
from scratch_cells.backends.sequence_buffers import SequenceBuffers
from scratch_cells.backends.tensor_forms import metadata_of
from scratch_cells.cell import whole
from shared_interface import State


def apply_bptt(
    kind: str,
    kernel_class: type[CellKernel],
    operands: Operands,
    batch_sizes: tuple[int, ...] | None,
    autocast: Autocast | None,
    reverse: bool,
) -> tuple[Tensor, State]:
    """Run a cell over a sequence as one node of the autograd graph.

    Args:
        kind: the kind of the cell, one of LAYOUTS.
        kernel_class: a kernel that supports the operands.
        operands: x, W_ih, W_hh, b_ih, b_hh, the parts of the state and, with a projection, W_hr.
        batch_sizes, reverse: see ``unroll``.
        autocast: what autocast makes of the operands, if it is on.

    Returns:
        What ``unroll`` returns.
    """
    operands, values = for_graph_and_kernel(operands, autocast)
    if needs_gradient(operands):
        outputs, *final = BPTTFunction.apply(
            kind, kernel_class, batch_sizes, autocast, reverse, *operands
        )
    else:
        precision = precision_of(kernel_class, values)
        _, buffers = forward_by_kernel(kernel_class, values, False, reverse, batch_sizes, precision)
        outputs, *final = _returned(buffers, kernel_class, values, precision)
    return outputs, whole(final)


def needs_gradient(operands: Operands) -> bool:
    """Whether autograd must record a call with these operands."""
    if not torch.is_grad_enabled():
        return False
    return any(operand is not None and operand.requires_grad for operand in operands)


def forward_by_kernel(
    kernel_class: type[CellKernel],
    operands: Operands,
    needs_backward: bool,
    reverse: bool,
    batch_sizes: tuple[int, ...] | None = None,
    precision: Precision | None = None,
) -> tuple[CellKernel, SequenceBuffers]:
    """The kernel, and the buffers after the forward pass."""
    if precision is not None:
        operands = precision.operands(operands)
    input, w_ih, w_hh, b_ih, b_hh, *rest = operands
    # Of the operands, mypy cannot see that only the biases may be None.
    state, w_hr = state_and_projection(kernel_class, rest)  # type: ignore[arg-type]
    time = len(input if batch_sizes is None else batch_sizes)  # type: ignore[arg-type]
    kernel = kernel_class(w_ih, w_hh, b_ih, b_hh, time, precision, w_hr)  # type: ignore[arg-type]
    given = kernel_class, input, state, needs_backward, reverse
    buffers = (
        SequenceBuffers.allocate(*given)  # type: ignore[arg-type]
        if batch_sizes is None
        else PackedBuffers.allocate_packed(*given, batch_sizes)  # type: ignore[arg-type]
    )
    buffers.set_initial_state(state)
    for _, block in buffers.blocks():
        kernel.forward(block)
    return kernel, buffers


def state_and_projection(
    kernel_class: type[CellKernel], rest: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Tensor | None]:
    """The operands after the biases: the parts of the state, and W_hr with a projection."""
    return (rest[:-1], rest[-1]) if kernel_class.layout.has_projection else (rest, None)


def precision_of(kernel_class: type[CellKernel], values: Operands) -> Precision | None:
    """The dtypes of a call, or None if all tensors are of one dtype."""
    dtype = values[0].dtype  # type: ignore[union-attr]  # x is given
    return kernel_class.precision_for(dtype) if dtype in HALF else None


def _returned(
    buffers: SequenceBuffers,
    kernel_class: type[CellKernel],
    operands: Operands,
    precision: Precision | None,
) -> list[Tensor]:
    """The outputs and the parts of the final state."""
    if precision is None:
        return [buffers.outputs(), *buffers.final_state()]
    dtype = precision.returned(kernel_class.layout.gates_are_states, operands[5:])
    return [buffers.outputs(dtype), *(part.to(dtype) for part in buffers.final_state())]


class BPTTFunction(torch.autograd.Function):
    """A cell over a sequence, as one node of the autograd graph.

    What is saved for the backward pass, in this order:

    - x, W_ih, W_hh, the parts of the state and W_hr as they are now; under autocast x and the
      weights as it rounds them. Without autocast these are aliases: assigning
      to ``weight.data``, as ``module.double()`` does, changes a saved parameter, and the reference
      loop computes the gradient with the values of the forward pass.
    - h, c, gates and extra: see ``SequenceBuffers``; None where the cell has none.
    - those operands themselves that other operations have computed. Only a gradient that is
      differentiated again needs them. For parameters the graph has them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        kernel_class: type[CellKernel],
        batch_sizes: tuple[int, ...] | None,
        autocast: Autocast | None,
        reverse: bool,
        *operands: Tensor | None,
    ) -> tuple[Tensor, ...]:
        _, values = for_graph_and_kernel(list(operands), autocast)
        ctx.precision = precision = precision_of(kernel_class, values)
        kernel, buffers = forward_by_kernel(
            kernel_class, values, True, reverse, batch_sizes, precision
        )
        returned = _returned(buffers, kernel_class, values, precision)
        layout = kernel_class.layout
        ctx.kind, ctx.kernel_class = kind, kernel_class
        ctx.batch_sizes, ctx.reverse, ctx.steps = batch_sizes, reverse, buffers.steps
        ctx.lead = values[0].shape[:-1]  # type: ignore[union-attr]  # x is given
        ctx.autocast = None if autocast is None else autocast.dtype
        with without_autocast(precision):
            ctx.biases = torch.cat([kernel.projection_bias, kernel.b_hn])
        of_cell = [buffers.h, buffers.c if layout.has_cell_state else None]
        of_cell += [buffers.gates, buffers.extra if layout.saves_extra else None]
        save_for_backward(ctx, operands, values, of_cell, list(map(metadata_of, returned)))
        return tuple(returned)

    @staticmethod
    def backward(ctx: Any, *d_returned: Tensor | None) -> Any:
        return *[None] * NUM_OPTIONS, *run_backward(ctx, d_returned, backward_by_kernel)


NUM_OPTIONS = 5
"""Arguments of ``BPTTFunction`` before the operands."""


def backward_by_kernel(
    ctx: Any, saved: tuple[Any, ...], d_returned: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """The gradients of x, W_ih, W_hh, b_ih, b_hh, the parts of the state and W_hr."""
    input, w_ih, w_hh, *rest, h, c, gates, extra = saved
    state, w_hr = state_and_projection(ctx.kernel_class, rest)
    precision = ctx.precision
    if precision is not None:
        input, w_ih, w_hh = map(precision.factor, (input, w_ih, w_hh))
        d_returned = tuple(map(precision.sum, d_returned))
    d_outputs, *d_final = d_returned
    needs = ctx.needs_input_grad[NUM_OPTIONS:]
    time = len(ctx.batch_sizes or input)
    kernel: CellKernel = ctx.kernel_class(w_ih, w_hh, None, None, time, precision, w_hr)
    buffers = _saved_buffers(ctx, input, h, c, gates, extra)
    if needs[0]:
        buffers.d_input = empty_for_caller(*input.shape, like=h)
    d_state = [
        h.new_zeros(part.shape) if d_part is None else d_part.clone()
        for part, d_part in zip(state, d_final, strict=True)
    ]
    d_w_ih, d_w_hh = kernel.new_accumulator(w_ih), kernel.new_accumulator(w_hh)
    columns = kernel.layout.gradient_count * kernel.hidden_size
    d_b = kernel.sums(columns)
    d_steps = buffers.new_gradients(columns, like=w_hh)
    needs_weights = any(needs[1:5])
    for span, block in reversed(buffers.blocks()):
        d = d_steps[: span.stop - span.start]
        kernel.backward(block, None if d_outputs is None else d_outputs[span], d_state, d)
        if needs_weights:
            kernel.add_to_weights(block, d, d_w_ih, d_w_hh)
            d_b += kernel.sum_rows(d)
    has_b_ih, has_b_hh = (dtype is not None for dtype in ctx.dtypes[3:5])
    gradients = [
        buffers.d_input,
        _row_major(d_w_ih),
        kernel.to_weight_order(_row_major(d_w_hh)),
        kernel.projection_part(d_b).clone() if has_b_ih else None,  # not in the memory of d_b_hh
        kernel.to_weight_order(kernel.recurrent_part(d_b)) if has_b_hh else None,
        *d_state,
        *([] if w_hr is None else [kernel.d_w_hr]),
    ]
    if precision is None:
        return gradients
    return converted(gradients, ctx.dtypes)


def converted(
    gradients: Sequence[Tensor | None], dtypes: Sequence[torch.dtype | None]
) -> list[Tensor | None]:
    """The gradients in the dtypes of the operands."""
    return [None if d is None else d.to(dtype) for d, dtype in zip(gradients, dtypes, strict=True)]


def _saved_buffers(
    ctx: Any, input: Tensor, h: Tensor, c: Tensor | None, gates: Tensor, extra: Tensor | None
) -> SequenceBuffers:
    """The buffers of the forward pass, which a hook may have returned in another memory layout."""
    h = h.contiguous()
    buffers = SequenceBuffers(
        input=input,
        d_input=None,
        h=h,
        c=h[:0] if c is None else c.contiguous(),
        gates=gates.contiguous(),
        extra=h[:0] if extra is None else extra.contiguous(),
        steps=ctx.steps,
        needs_backward=True,
        reverse=ctx.reverse,
    )
    if ctx.batch_sizes is None:
        return buffers
    return PackedBuffers(**vars(buffers), rows=packed_rows(ctx.batch_sizes))


def _row_major(d_w: Tensor) -> Tensor:
    """``d_w`` in contiguous layout."""
    contiguous = d_w.stride() == (d_w.size(1), 1)
    return d_w if contiguous else d_w.clone(memory_format=torch.contiguous_format)
