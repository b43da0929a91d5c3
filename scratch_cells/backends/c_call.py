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
from scratch_cells.cell import whole
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
    input, w_ih, w_hh, *_ = operands
    assert input is not None
    assert w_ih is not None
    assert w_hh is not None
    time, batch, _ = input.shape
    rows: int = w_hh.shape[0]
    if kernel_class.layout.has_projection:
        return False
    stores_gates = needs_gradient(operands) or not c_backend.projects_in_steps(w_ih, w_hh)
    if stores_gates and time * batch * rows > MAX_ELEMENTS:
        return False
    return dtype not in HALF or kernel_class.precision_for(dtype).factors is dtype


def apply_call(
    kind: str,
    kernel_class: type[Any],
    operands: Operands,
    autocast: Autocast | None,
    reverse: bool,
) -> tuple[Tensor, State]:
    """As ``apply_bptt``, for a sequence for which ``is_one_call`` holds."""
    operands, values = for_graph_and_kernel(operands, autocast)
    if needs_gradient(operands):
        outputs, *final = CallFunction.apply(kind, kernel_class, autocast, reverse, *operands)
    else:
        precision = precision_of(kernel_class, values)
        (outputs, *final), *_ = _forward(kernel_class, values, precision, False, reverse)
    return outputs, whole(final)


class CallFunction(torch.autograd.Function):
    """A cell over a short sequence, as one node of the autograd graph: see ``BPTTFunction``."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        kernel_class: type[CKernel],
        autocast: Autocast | None,
        reverse: bool,
        *operands: Tensor | None,
    ) -> tuple[Tensor, ...]:
        _, values = for_graph_and_kernel(list(operands), autocast)
        ctx.precision = precision = precision_of(kernel_class, values)
        returned, buffer, ctx.biases = _forward(kernel_class, values, precision, True, reverse)
        ctx.kind, ctx.kernel_class, ctx.reverse = kind, kernel_class, reverse
        ctx.autocast = None if autocast is None else autocast.dtype
        ctx.batch_sizes = None
        save_for_backward(ctx, operands, values, [buffer], returned)
        return tuple(returned)

    @staticmethod
    def backward(ctx: Any, *d_returned: Tensor | None) -> Any:
        return *[None] * NUM_OPTIONS, *run_backward(ctx, d_returned, _backward)


NUM_OPTIONS = 4
"""Arguments of ``CallFunction`` before the operands."""


def _forward(
    kernel_class: type[CKernel],
    operands: Operands,
    precision: Precision | None,
    needs_backward: bool,
    reverse: bool,
) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
    """Outputs and final state; for the backward pass, its buffer and the sums of the biases."""
    input, w_ih, w_hh, b_ih, b_hh, *state = _contiguous(operands)
    real = returned_as = input.dtype
    if precision is not None:
        real = precision.sums
        returned_as = precision.returned(kernel_class.layout.gates_are_states, state)
        state = list(map(precision.sum, state))
    args = _call_args(kernel_class, input, w_hh, returned_as, reverse)
    weights = _weights(args, kernel_class, w_ih, w_hh, "forward_panels")
    returned = [empty_for_caller(args.T, args.B, args.H, like=input, dtype=returned_as)]
    returned += [input.new_empty(args.B, args.H, dtype=returned_as) for _ in state]
    args.outputs = returned[0].data_ptr()
    if b_ih is not None:
        args.b_ih = b_ih.data_ptr()
    if b_hh is not None:
        args.b_hh = b_hh.data_ptr()
    h_0, *c_0 = state
    if h_0 is not None:
        args.h_0 = h_0.data_ptr()
    args.h_n = returned[1].data_ptr()
    if c_0:
        if c_0[0] is not None:
            args.c_0 = c_0[0].data_ptr()
        args.c_n = returned[2].data_ptr()
    buffer = biases = None
    if needs_backward:
        biases = input.new_empty(w_hh.shape[0] + args.H, dtype=real)
        buffer = BUFFER_POOL.empty(_saved_elements(kernel_class, args), like=biases)
        args.saved, args.biases = buffer.data_ptr(), biases.data_ptr()
    _call(kernel_class, "forward", input.dtype, args)
    del weights  # their memory is used until here
    return returned, buffer, biases


def _weights(
    args: CallArgs, kernel_class: type[CKernel], w_ih: Tensor, w_hh: Tensor, panels: str
) -> tuple[Tensor, Tensor]:
    """Set the arguments for the weights and threads; return the memory that they refer to."""
    rows, elements = args.T * args.B, w_ih.numel() + w_hh.numel()
    args.threads = c_backend.thread_count(rows, elements)
    args.share_units = c_backend.shares_units(args.B, elements, w_hh.numel())
    args.w_ih, args.w_hh = w_ih.data_ptr(), w_hh.data_ptr()
    few_rows = rows <= MAX_IN_PLACE_ROWS and w_hh.dtype not in HALF
    in_place = few_rows and (args.T == 1 or elements <= CORE_CACHE_ELEMENTS)
    args.projects_in_steps = in_place or c_backend.projects_in_steps(w_ih, w_hh)
    if in_place:
        return w_ih, w_hh
    packed: tuple[Tensor, Tensor] = getattr(kernel_class(w_ih, w_hh, None, None, args.T), panels)
    args.w_ih_panels, args.w_hh_panels = packed[0].data_ptr(), packed[1].data_ptr()
    return packed


def _saved_elements(kernel_class: type[CKernel], args: CallArgs) -> int:
    """Elements of the buffer: see ``use_buffers`` in ``calls.h``."""
    layout = kernel_class.layout
    states = 1 + layout.has_cell_state
    others = layout.saves_extra + (0 if layout.gates_are_states else layout.gate_count)
    elements: int = args.B * args.H * (states * (args.T + 1) + others * args.T)
    return elements


def _backward(
    ctx: Any, saved: tuple[Any, ...], d_returned: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """The gradients of x, W_ih, W_hh, b_ih, b_hh and the parts of the state."""
    input, w_ih, w_hh, *_, buffer = _contiguous(saved)
    d_outputs, *d_final = _contiguous(d_returned)
    needs = ctx.needs_input_grad[NUM_OPTIONS:]
    args = _call_args(ctx.kernel_class, input, w_hh, ctx.returned_as[0][1], ctx.reverse)
    weights = _weights(args, ctx.kernel_class, w_ih, w_hh, "backward_panels")
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
                gradients[index] = d_b = buffer.new_empty(w_hh.shape[0])
                setattr(args, name, d_b.data_ptr())
    for index, (part, d_part) in enumerate(zip("hc", d_final, strict=False)):
        if d_part is not None:
            setattr(args, f"d_{part}_n", d_part.data_ptr())
        if needs[5 + index]:
            gradients[5 + index] = d_initial = buffer.new_empty((args.B, args.H))
            setattr(args, f"d_{part}_0", d_initial.data_ptr())
    _call(ctx.kernel_class, "backward", input.dtype, args)
    del weights  # their memory is used until here
    return gradients if ctx.precision is None else converted(gradients, ctx.dtypes)


def _call_args(
    kernel_class: type[CKernel],
    input: Tensor,
    w_hh: Tensor,
    returned_as: torch.dtype,
    reverse: bool,
) -> CallArgs:
    args = CallArgs()
    args.T, args.B, args.I = input.shape
    args.H = w_hh.shape[1]
    args.block_steps = steps_of_a_block(kernel_class, args.T, args.B, args.H)
    args.returns_factors = returned_as is input.dtype
    args.first_infinite = FIRST_INFINITE.get(input.dtype, math.inf)
    args.reverse = reverse
    args.input = input.data_ptr()
    args.input_step_stride, args.input_row_stride, _ = input.stride()
    if args.B == 1:
        args.input_row_stride = args.input_step_stride  # steps are rows of one product
    return args


def _contiguous(tensors: Sequence[Any]) -> list[Any]:
    return [t if t is None or t.is_contiguous() else t.contiguous() for t in tensors]


def _call(kernel_class: type[CKernel], phase: str, dtype: torch.dtype, args: CallArgs) -> None:
    if _function(kernel_class.prefix, phase, dtype)(ctypes.byref(args)):
        raise RuntimeError(f"the C backend needs more memory than there is for the {phase} pass")


def _function(prefix: str, phase: str, dtype: torch.dtype) -> Any:
    library, reason = load_library(dtype)
    assert library is not None, reason
    return getattr(library, f"{prefix}_{phase}_call")
