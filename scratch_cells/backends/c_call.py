"""A sequence as one call of C: one for the forward pass, and one for the backward pass.

One time step of a small batch takes a few microseconds of arithmetic, and each operation of torch
takes about one more. So C also cuts the sequence into blocks, adds the biases, copies the states,
converts what is returned and sums the gradients of the biases. All that the gradient needs is in
one buffer. Long sequences take the way of ``bptt.py``; they use the same kernels.
"""

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scratch_cells.backends import c_backend
from scratch_cells.backends.autocast_cache import Autocast, for_graph_and_kernel
from scratch_cells.backends.bptt import converted, needs_gradient, precision_of
from scratch_cells.backends.buffer_pool import BUFFER_POOL, empty_for_caller
from scratch_cells.backends.c_backend import (
    CORE_CACHE_ELEMENTS,
    FIRST_INFINITE,
    CKernel,
)
from scratch_cells.backends.c_compiler import CallArgs, load_library
from scratch_cells.backends.eligibility import Operands
from scratch_cells.backends.precision import HALF, Precision
from scratch_cells.backends.saved_tensors import run_backward, save_for_backward
from scratch_cells.backends.sequence_buffers import steps_of_a_block
from shared_interface import State

MAX_ELEMENTS = 2**21
"""Elements of the gates of all time steps, of a sequence that is one call: 8 MiB in float32.

If no gates are stored, a sequence of any length is one call, which writes h to the outputs."""

MAX_IN_PLACE_ROWS = 24
"""Rows of all time steps up to which the weights are not packed in panels."""


def is_one_call(kernel_class: type[Any], operands: Operands, dtype: torch.dtype) -> bool:
    """Whether the kernels run these operands, not packed, as one call.

    Args:
        kernel_class: the kernel.
        operands: its operands.
        dtype: the dtype of x and of the weights, or that of autocast.
    """
    input, w_ih, w_hh = operands[:3]
    assert input is not None
    assert w_ih is not None
    assert w_hh is not None
    time, batch, _ = input.shape
    if kernel_class.layout.has_projection:
        return False
    elements = time * batch * w_hh.shape[0]
    if elements > MAX_ELEMENTS and (
        needs_gradient(operands) or not c_backend.projects_in_steps(w_ih, w_hh)
    ):
        return False
    return dtype not in HALF or kernel_class.precision_for(dtype).factors is dtype


def apply_call(
    kind: str,
    kernel_class: type[Any],
    operands: Operands,
    autocast: Autocast | None,
    reverse: bool,
    alone: bool,
) -> tuple[Tensor, State]:
    """As ``apply_bptt``, for a sequence for which ``is_one_call`` holds.

    Args:
        kind, kernel_class, operands, autocast, reverse: see ``apply_bptt``.
        alone: see ``run_cell``.
    """
    operands, values = for_graph_and_kernel(operands, autocast)
    if needs_gradient(operands):
        returned = CallFunction.apply(kind, kernel_class, autocast, reverse, alone, *operands)
    else:
        precision = precision_of(kernel_class, values)
        returned = _forward(kernel_class, values, precision, reverse, alone)
    return returned[0], returned[1] if len(returned) == 2 else tuple(returned[1:])


class CallFunction(torch.autograd.Function):
    """A cell over a short sequence, as one node of the autograd graph: see ``BPTTFunction``."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        kernel_class: type[CKernel],
        autocast: Autocast | None,
        reverse: bool,
        alone: bool,
        *operands: Tensor | None,
    ) -> tuple[Tensor, ...]:
        _, values = for_graph_and_kernel(list(operands), autocast)
        ctx.precision = precision = precision_of(kernel_class, values)
        saved: list[Tensor] = []
        returned = _forward(kernel_class, values, precision, reverse, alone, saved)
        buffer, ctx.biases = saved
        ctx.kind, ctx.kernel_class, ctx.reverse = kind, kernel_class, reverse
        ctx.autocast = None if autocast is None else autocast.dtype
        ctx.batch_sizes = None
        save_for_backward(ctx, operands, values, [buffer], returned)
        return tuple(returned)

    @staticmethod
    def backward(ctx: Any, *d_returned: Tensor | None) -> Any:
        return *[None] * NUM_OPTIONS, *run_backward(ctx, d_returned, _backward)


NUM_OPTIONS = 5
"""Arguments of ``CallFunction`` before the operands."""

NO_MEMORY = "the C backend needs more memory than there is for the {} pass"


def _forward(
    kernel_class: type[CKernel],
    operands: Operands,
    precision: Precision | None,
    reverse: bool,
    alone: bool,
    saved: list[Tensor] | None = None,
) -> list[Tensor]:
    """Outputs and final state.

    Args:
        kernel_class, operands, reverse, alone: see ``apply_call``.
        precision: the dtypes of the call, if not all tensors are of one dtype.
        saved: if a backward pass may follow, an empty list, to which are appended: the buffer for
            it, and the sums of the biases.
    """
    input, w_ih, w_hh, b_ih, b_hh, *state = _contiguous(operands)
    real = returned_as = input.dtype
    if precision is not None:
        real = precision.sums
        returned_as = precision.returned(kernel_class.layout.gates_are_states, state)
        state = list(map(precision.sum, state))
    time, batch, _ = input.shape
    rows, size = w_hh.shape
    args, weights = _arguments(
        kernel_class, input, w_ih, w_hh, returned_as, reverse, "forward_panels"
    )
    if b_ih is not None:
        args.b_ih = b_ih.data_ptr()
    if b_hh is not None:
        args.b_hh = b_hh.data_ptr()
    part_shape = (1, batch, size) if alone else (batch, size)
    outputs = empty_for_caller(time, batch, size, like=input, dtype=returned_as)
    h_n = input.new_empty(part_shape, dtype=returned_as)
    args.outputs, args.h_n = outputs.data_ptr(), h_n.data_ptr()
    returned = [outputs, h_n]
    if state[0] is not None:
        args.h_0 = state[0].data_ptr()
    if len(state) > 1:
        returned.append(c_n := input.new_empty(part_shape, dtype=returned_as))
        args.c_n = c_n.data_ptr()
        if state[1] is not None:
            args.c_0 = state[1].data_ptr()
    if saved is not None:
        biases = input.new_empty(rows + size, dtype=real)
        buffer = BUFFER_POOL.empty(_saved_elements(kernel_class, time, batch, size), like=biases)
        args.saved, args.biases = buffer.data_ptr(), biases.data_ptr()
        saved += buffer, biases
    if _function(kernel_class.prefix, "forward", input.dtype)(ctypes.byref(args)):
        raise RuntimeError(NO_MEMORY.format("forward"))
    del weights  # their memory is used until here
    return returned


def _arguments(
    kernel_class: type[CKernel],
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    returned_as: torch.dtype,
    reverse: bool,
    panels: str,
) -> tuple[CallArgs, tuple[Tensor, ...]]:
    """The arguments that both passes have, and the memory of the weights, which they refer to.

    Args:
        kernel_class, reverse: see ``apply_call``.
        input, w_ih, w_hh: contiguous.
        returned_as: dtype of the outputs.
        panels: name of the kernel's attribute with the weights packed for this pass.
    """
    args = CallArgs()
    args.T, args.B, args.I = time, batch, _ = input.shape
    args.H = size = w_hh.shape[1]
    args.block_steps = steps_of_a_block(kernel_class, time, batch, size)
    dtype = input.dtype
    args.returns_factors = returned_as is dtype
    args.first_infinite = FIRST_INFINITE.get(dtype, math.inf)
    args.reverse = reverse
    args.input = input.data_ptr()
    step_stride, row_stride, _ = input.stride()
    args.input_step_stride = step_stride
    # With one row in each step, the steps are the rows of one product.
    args.input_row_stride = step_stride if batch == 1 else row_stride
    rows, recurrent = time * batch, w_hh.numel()
    elements = w_ih.numel() + recurrent
    args.threads = c_backend.thread_count(rows, elements)
    args.share_units = c_backend.shares_units(batch, elements, recurrent)
    args.w_ih, args.w_hh = w_ih.data_ptr(), w_hh.data_ptr()
    few_rows = rows <= MAX_IN_PLACE_ROWS and dtype not in HALF
    in_place = few_rows and (time == 1 or elements <= CORE_CACHE_ELEMENTS)
    args.projects_in_steps = in_place or c_backend.projects_in_steps(w_ih, w_hh)
    if in_place:
        return args, (w_ih, w_hh)
    packed: tuple[Tensor, Tensor] = getattr(kernel_class(w_ih, w_hh, None, None, time), panels)
    args.w_ih_panels, args.w_hh_panels = packed[0].data_ptr(), packed[1].data_ptr()
    return args, packed


def _saved_elements(kernel_class: type[CKernel], time: int, batch: int, size: int) -> int:
    """Elements of the buffer: see ``use_buffers`` in ``calls.h``."""
    layout = kernel_class.layout
    states = 1 + layout.has_cell_state
    others = layout.saves_extra + (0 if layout.gates_are_states else layout.gate_count)
    return batch * size * (states * (time + 1) + others * time)


def _backward(
    ctx: Any, saved: tuple[Any, ...], d_returned: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """The gradients of x, W_ih, W_hh, b_ih, b_hh and the parts of the state."""
    input, w_ih, w_hh, *_, buffer = _contiguous(saved)
    d_outputs, *d_final = _contiguous(d_returned)
    needs = ctx.needs_input_grad[NUM_OPTIONS:]
    _, batch, _ = input.shape
    rows, size = w_hh.shape
    args, weights = _arguments(
        *(ctx.kernel_class, input, w_ih, w_hh, ctx.returned_as[0][1], ctx.reverse),
        "backward_panels",
    )
    args.saved = buffer.data_ptr()
    if d_outputs is not None:
        args.d_outputs = d_outputs.data_ptr()
        args.d_outputs_step_stride, args.d_outputs_row_stride, _ = d_outputs.stride()
    gradients: list[Tensor | None] = [None] * len(needs)
    if needs[0]:
        gradients[0] = d_input = empty_for_caller(*input.shape, like=buffer)
        args.d_input = d_input.data_ptr()
    if any(needs[1:5]):
        d_w_ih, d_w_hh = (torch.empty_like(w, dtype=buffer.dtype) for w in (w_ih, w_hh))
        gradients[1:3] = d_w_ih, d_w_hh
        args.d_w_ih, args.d_w_hh = d_w_ih.data_ptr(), d_w_hh.data_ptr()
        for index, name in ((3, "d_b_ih"), (4, "d_b_hh")):
            if needs[index]:
                gradients[index] = d_b = buffer.new_empty(rows)
                setattr(args, name, d_b.data_ptr())
    for index, (part, d_part) in enumerate(zip("hc", d_final, strict=False)):
        if d_part is not None:
            setattr(args, f"d_{part}_n", d_part.data_ptr())
        if needs[5 + index]:
            gradients[5 + index] = d_initial = buffer.new_empty(batch, size)
            setattr(args, f"d_{part}_0", d_initial.data_ptr())
    if _function(ctx.kernel_class.prefix, "backward", input.dtype)(ctypes.byref(args)):
        raise RuntimeError(NO_MEMORY.format("backward"))
    del weights  # their memory is used until here
    return gradients if ctx.precision is None else converted(gradients, ctx.dtypes)


def _contiguous(tensors: Sequence[Any]) -> list[Any]:
    return [t if t is None or t.is_contiguous() else t.contiguous() for t in tensors]


def _function(prefix: str, phase: str, dtype: torch.dtype) -> Any:
    library, reason = load_library(dtype)
    assert library is not None, reason
    return getattr(library, f"{prefix}_{phase}_call")
