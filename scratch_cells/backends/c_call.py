"""A short sequence as one call of C: one for the forward pass, and one for the backward pass.

One time step of a small batch takes a few microseconds of arithmetic, and each operation of torch
takes about one more. So for a sequence in one block, C also adds the biases, copies the states and
sums the gradients of the biases, and all that the gradient needs is in one buffer. Longer sequences
take the way of ``bptt.py``, in blocks that fit in the cache; they use the same kernels.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scratch_cells.backends import c_backend, sequence_buffers
from scratch_cells.backends.bptt import needs_gradient
from scratch_cells.backends.buffer_pool import BUFFER_POOL, empty_for_caller
from scratch_cells.backends.c_backend import (
    CORE_CACHE_ELEMENTS,
    CKernel,
)
from scratch_cells.backends.c_compiler import CallArgs, load_library
from scratch_cells.backends.eligibility import LAYOUTS, Operands
from scratch_cells.backends.precision import HALF
from scratch_cells.backends.saved_tensors import run_backward, save_for_backward
from shared_interface import State

NO_MEMORY = "the C backend needs more memory than there is for the {} pass"

NUM_OPTIONS = 4
"""Arguments of ``CallFunction`` before the operands."""

MAX_IN_PLACE_ROWS = 24
"""Rows of all time steps up to which the weights are not packed in panels."""


def is_one_call(kind: str, operands: Operands) -> bool:
    """Whether the kernels run these operands, not packed, as one call: they are one block."""
    input, w_hh = operands[0], operands[2]
    assert input is not None
    assert w_hh is not None
    time, batch, _ = input.shape
    return (
        time * batch * w_hh.shape[0] <= sequence_buffers.BLOCK_ELEMENTS
        and input.dtype not in HALF
        and not LAYOUTS[kind].has_projection
    )


def apply_call(
    kind: str, kernel_class: type[Any], operands: Operands, reverse: bool, alone: bool
) -> tuple[Tensor, State]:
    """As ``apply_bptt``, for a sequence for which ``is_one_call`` holds.

    Args:
        kind, kernel_class, operands, reverse: see ``apply_bptt``.
        alone: see ``run_cell``.
    """
    returned = (
        _apply(kind, kernel_class, reverse, alone, *operands)
        if needs_gradient(operands)
        else _forward(kernel_class, operands, reverse, alone)
    )
    return returned[0], returned[1] if len(returned) == 2 else tuple(returned[1:])


class CallFunction(torch.autograd.Function):
    """A cell over a short sequence, as one node of the autograd graph: see ``BPTTFunction``."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        kernel_class: type[CKernel],
        reverse: bool,
        alone: bool,
        *operands: Tensor | None,
    ) -> tuple[Tensor, ...]:
        ctx.kind, ctx.kernel_class, ctx.reverse = kind, kernel_class, reverse
        ctx.batch_sizes = ctx.autocast = ctx.precision = None
        saved: list[Tensor] = []
        returned = _forward(kernel_class, operands, reverse, alone, saved)
        buffer, ctx.biases = saved
        save_for_backward(ctx, operands, operands, [buffer], returned)
        return tuple(returned)

    @staticmethod
    def backward(ctx: Any, *d_returned: Tensor | None) -> Any:
        return *[None] * NUM_OPTIONS, *run_backward(ctx, d_returned, _backward)


_apply = super(torch.autograd.Function, CallFunction).apply
"""Without what ``Function.apply`` does for transforms, which are not active in a fast backend."""


def _forward(
    kernel_class: type[CKernel],
    operands: Sequence[Tensor | None],
    reverse: bool,
    alone: bool,
    saved: list[Tensor] | None = None,
) -> list[Tensor]:
    """Outputs and final state.

    Args:
        kernel_class, operands, reverse, alone: see ``apply_call``.
        saved: if a backward pass may follow, an empty list, to which are appended: the buffer for
            it, and the sums of the biases.
    """
    input, w_ih, w_hh, b_ih, b_hh, *state = _contiguous(operands)
    time, batch, _ = input.shape
    rows, size = w_hh.shape
    args, weights = _arguments(kernel_class, input, w_ih, w_hh, reverse, "forward_panels")
    if b_ih is not None:
        args.b_ih = b_ih.data_ptr()
    if b_hh is not None:
        args.b_hh = b_hh.data_ptr()
    part_shape = (1, batch, size) if alone else (batch, size)
    outputs, h_n = input.new_empty(time, batch, size), input.new_empty(part_shape)
    args.outputs, args.h_n = outputs.data_ptr(), h_n.data_ptr()
    returned = [outputs, h_n]
    if state[0] is not None:
        args.h_0 = state[0].data_ptr()
    if len(state) > 1:
        returned.append(c_n := input.new_empty(part_shape))
        args.c_n = c_n.data_ptr()
        if state[1] is not None:
            args.c_0 = state[1].data_ptr()
    if saved is not None:
        buffer = BUFFER_POOL.empty(_saved_elements(kernel_class, time, batch, size), like=input)
        biases = input.new_empty(rows + size)
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
    reverse: bool,
    panels: str,
) -> tuple[CallArgs, tuple[Tensor, ...]]:
    """The arguments that both passes have, and the memory of the weights, which they refer to.

    Args:
        kernel_class, reverse: see ``apply_call``.
        input, w_ih, w_hh: contiguous.
        panels: name of the kernel's attribute with the weights packed for this pass.
    """
    args = CallArgs()
    args.T, args.B, args.I = time, batch, _ = input.shape
    args.H = w_hh.shape[1]
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
    if rows <= MAX_IN_PLACE_ROWS and (time == 1 or elements <= CORE_CACHE_ELEMENTS):
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
    args, weights = _arguments(ctx.kernel_class, input, w_ih, w_hh, ctx.reverse, "backward_panels")
    args.saved = buffer.data_ptr()
    if d_outputs is not None:
        args.d_outputs = d_outputs.data_ptr()
        args.d_outputs_step_stride, args.d_outputs_row_stride, _ = d_outputs.stride()
    gradients: list[Tensor | None] = [None] * len(needs)
    if needs[0]:
        gradients[0] = d_input = empty_for_caller(*input.shape, like=input)
        args.d_input = d_input.data_ptr()
    if any(needs[1:5]):
        gradients[1], gradients[2] = d_w_ih, d_w_hh = torch.empty_like(w_ih), torch.empty_like(w_hh)
        args.d_w_ih, args.d_w_hh = d_w_ih.data_ptr(), d_w_hh.data_ptr()
        for index, name in ((3, "d_b_ih"), (4, "d_b_hh")):
            if needs[index]:
                gradients[index] = d_b = w_hh.new_empty(rows)
                setattr(args, name, d_b.data_ptr())
    for index, (part, d_part) in enumerate(zip("hc", d_final, strict=False)):
        if d_part is not None:
            setattr(args, f"d_{part}_n", d_part.data_ptr())
        if needs[5 + index]:
            gradients[5 + index] = d_initial = w_hh.new_empty(batch, size)
            setattr(args, f"d_{part}_0", d_initial.data_ptr())
    if _function(ctx.kernel_class.prefix, "backward", input.dtype)(ctypes.byref(args)):
        raise RuntimeError(NO_MEMORY.format("backward"))
    del weights  # their memory is used until here
    return gradients


def _contiguous(tensors: Sequence[Any]) -> list[Any]:
    return [t if t is None or t.is_contiguous() else t.contiguous() for t in tensors]


def _function(prefix: str, phase: str, dtype: torch.dtype) -> Any:
    library, reason = load_library(dtype)
    assert library is not None, reason
    return getattr(library, f"{prefix}_{phase}_call")
