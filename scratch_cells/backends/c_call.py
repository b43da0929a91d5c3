"""A sequence as one call of C: one for the forward pass, and one for the backward pass.

One time step of a small batch takes a few microseconds of arithmetic, and each operation of torch
takes about one more. So C also cuts the sequence into blocks, adds the biases, copies the states,
converts what is returned and sums the gradients of the biases. All that the gradient needs is in
one buffer. Long sequences take the way of ``bptt.py``; they use the same kernels.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scratch_cells.backends import c_backend
from scratch_cells.backends.autocast_cache import Autocast, for_graph_and_kernel
from scratch_cells.backends.bptt import converted, needs_gradient, precision_of
from scratch_cells.backends.buffer_pool import BUFFER_POOL, allocator
from scratch_cells.backends.c_backend import (
    CORE_CACHE_ELEMENTS,
    FIRST_INFINITE,
    CKernel,
)
from scratch_cells.backends.c_compiler import CallArgs, load_library
from scratch_cells.backends.eligibility import Operands
from scratch_cells.backends.precision import HALF
from scratch_cells.backends.saved_tensors import run_backward, save_for_backward
from scratch_cells.backends.sequence_buffers import steps_of_a_block
from scratch_cells.backends.tensor_forms import Metadata, TensorForm
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


@dataclass(frozen=True)
class Allocators:
    """Functions that allocate what training needs: see ``allocator``."""

    buffer: Callable[[], Tensor]
    biases: Callable[[], Tensor]
    d_input: Callable[[], Tensor]
    d_w_ih: Callable[[], Tensor]
    d_w_hh: Callable[[], Tensor]
    d_bias: Callable[[], Tensor]
    d_state: Callable[[], Tensor]


class SequenceCall:
    """All that a call of C depends on besides the values of its operands, prepared once.

    Args:
        kind: the kind of the cell, one of LAYOUTS.
        kernel_class: a kernel for which ``is_one_call`` holds.
        operands: what the kernel reads: see ``apply_bptt``. Those of another call may differ in
            their values only.
        reverse: see ``unroll``.
        alone: see ``run_cell``.
        batch_first: whether x and the outputs are (B, T, size). Then B or T is 1, and their
            elements are in the same order as those of (T, B, size).
    """

    def __init__(
        self,
        kind: str,
        kernel_class: type[Any],
        operands: Operands,
        reverse: bool,
        alone: bool,
        batch_first: bool = False,
    ) -> None:
        input, w_ih, w_hh, *_ = operands
        assert input is not None
        assert w_ih is not None
        assert w_hh is not None
        self.kind, self.kernel_class, self.reverse = kind, kernel_class, reverse
        self.precision = precision_of(kernel_class, operands)
        self.real = self.returned_as = input.dtype
        layout = kernel_class.layout
        if self.precision is not None:
            self.real = self.precision.sums
            self.returned_as = self.precision.returned(layout.gates_are_states, operands[5:])
        *self.lead, self.input_size = input.shape
        self.time, self.batch = reversed(self.lead) if batch_first else self.lead
        rows, self.size = w_hh.shape
        state_shape = (1, self.batch, self.size) if alone else (self.batch, self.size)
        parts_of_state = 1 + layout.has_cell_state
        self.returned: list[Metadata] = [
            (torch.Size(shape), self.returned_as, input.device)
            for shape in ((*self.lead, self.size), *[state_shape] * parts_of_state)
        ]
        self.new_outputs = allocator(*self.lead, self.size, dtype=self.returned_as)
        self.new_state = allocator(*state_shape, dtype=self.returned_as)
        self.zeros = [None] * (len(operands) - 5)  # the parts of a state that is not given
        self.gate_elements = self.time * self.batch * rows
        self.saved_as: TensorForm | None = None  # the form of what a call saves
        self.are_contiguous = all(each is None or each.is_contiguous() for each in operands)
        steps, recurrent = self.time * self.batch, w_hh.numel()
        elements = w_ih.numel() + recurrent
        few_rows = steps <= MAX_IN_PLACE_ROWS and input.dtype not in HALF
        self._in_place = few_rows and (self.time == 1 or elements <= CORE_CACHE_ELEMENTS)
        # With one row in each step, the steps are the rows of one product.
        step_stride = self.batch * self.input_size
        self._args = bytes(
            CallArgs(
                T=self.time,
                B=self.batch,
                I=self.input_size,
                H=self.size,
                reverse=reverse,
                threads=c_backend.thread_count(steps, elements),
                share_units=c_backend.shares_units(self.batch, elements, recurrent),
                block_steps=steps_of_a_block(kernel_class, self.time, self.batch, self.size),
                projects_in_steps=self._in_place or c_backend.projects_in_steps(w_ih, w_hh),
                returns_factors=self.returned_as is input.dtype,
                first_infinite=FIRST_INFINITE.get(input.dtype, math.inf),
                input_step_stride=step_stride,
                input_row_stride=step_stride if self.batch == 1 else self.input_size,
                d_outputs_step_stride=self.batch * self.size,
                d_outputs_row_stride=self.size,
            )
        )
        library, reason = load_library(input.dtype)
        assert library is not None, reason
        self.forward = getattr(library, f"{kernel_class.prefix}_forward_call")
        self.backward = getattr(library, f"{kernel_class.prefix}_backward_call")

    @cached_property
    def for_backward(self) -> "Allocators":
        """What allocates the tensors that only training needs."""
        elements = _saved_elements(self.kernel_class, self.time, self.batch, self.size)
        rows, real = self.kernel_class.layout.gate_count * self.size, self.real
        return Allocators(
            buffer=BUFFER_POOL.allocator(elements, real),
            biases=allocator(rows + self.size, dtype=real),
            d_input=allocator(*self.lead, self.input_size, dtype=real),
            d_w_ih=allocator(rows, self.input_size, dtype=real),
            d_w_hh=allocator(rows, self.size, dtype=real),
            d_bias=allocator(rows, dtype=real),
            d_state=allocator(self.batch, self.size, dtype=real),
        )

    def arguments(
        self, input: Tensor, w_ih: Tensor, w_hh: Tensor, panels: str
    ) -> tuple[CallArgs, tuple[Tensor, ...]]:
        """The arguments that both passes have, and the memory of the weights, to which they refer.

        Args:
            input, w_ih, w_hh: contiguous.
            panels: name of the kernel's attribute with the weights packed for this pass.
        """
        args = CallArgs.from_buffer_copy(self._args)
        args.input, args.w_ih, args.w_hh = input.data_ptr(), w_ih.data_ptr(), w_hh.data_ptr()
        if self._in_place:
            return args, (w_ih, w_hh)
        kernel = self.kernel_class(w_ih, w_hh, None, None, self.time)
        packed: tuple[Tensor, Tensor] = getattr(kernel, panels)
        args.w_ih_panels, args.w_hh_panels = packed[0].data_ptr(), packed[1].data_ptr()
        return args, packed


def apply_call(
    call: SequenceCall, operands: Operands, autocast: Autocast | None
) -> tuple[Tensor, State]:
    """As ``apply_bptt``, for a sequence for which ``is_one_call`` holds.

    Args:
        call: prepared for these operands or for others of the same form.
        operands, autocast: see ``apply_bptt``.
    """
    operands, values = for_graph_and_kernel(operands, autocast)
    if needs_gradient(operands):
        outputs, *final = CallFunction.apply(call, autocast, *operands)
    else:
        outputs, *final = _forward(call, values)
    return outputs, whole(final)


class CallFunction(torch.autograd.Function):
    """A cell over a short sequence, as one node of the autograd graph: see ``BPTTFunction``."""

    @staticmethod
    def forward(
        ctx: Any, call: SequenceCall, autocast: Autocast | None, *operands: Tensor | None
    ) -> tuple[Tensor, ...]:
        values = list(operands) if autocast is None else autocast.values
        saved: list[Tensor] = []
        returned = _forward(call, values, saved)
        buffer, ctx.biases = saved
        ctx.call, ctx.precision = call, call.precision
        ctx.kind, ctx.kernel_class, ctx.reverse = call.kind, call.kernel_class, call.reverse
        ctx.autocast = None if autocast is None else autocast.dtype
        ctx.batch_sizes, ctx.lead = None, (call.time, call.batch)
        save_for_backward(ctx, operands, values, [buffer], call.returned, call.saved_as)
        call.saved_as = ctx.saved_as
        return tuple(returned)

    @staticmethod
    def backward(ctx: Any, *d_returned: Tensor | None) -> Any:
        return *[None] * NUM_OPTIONS, *run_backward(ctx, d_returned, _backward)


NUM_OPTIONS = 2
"""Arguments of ``CallFunction`` before the operands."""

NO_MEMORY = "the C backend needs more memory than there is for the {} pass"


def _forward(
    call: SequenceCall, operands: Operands, saved: list[Tensor] | None = None
) -> list[Tensor]:
    """Outputs and final state.

    Args:
        call, operands: see ``apply_call``.
        saved: if a backward pass may follow, an empty list, to which are appended: the buffer for
            it, and the sums of the biases.
    """
    tensors: list[Any] = operands if call.are_contiguous else _contiguous(operands)
    input, w_ih, w_hh, b_ih, b_hh, *state = tensors
    if call.precision is not None:
        state = list(map(call.precision.sum, state))
    args, weights = call.arguments(input, w_ih, w_hh, "forward_panels")
    if b_ih is not None:
        args.b_ih = b_ih.data_ptr()
    if b_hh is not None:
        args.b_hh = b_hh.data_ptr()
    outputs, h_n = call.new_outputs(), call.new_state()
    args.outputs, args.h_n = outputs.data_ptr(), h_n.data_ptr()
    returned = [outputs, h_n]
    if state[0] is not None:
        args.h_0 = state[0].data_ptr()
    if len(state) > 1:
        returned.append(c_n := call.new_state())
        args.c_n = c_n.data_ptr()
        if state[1] is not None:
            args.c_0 = state[1].data_ptr()
    if saved is not None:
        buffer, biases = call.for_backward.buffer(), call.for_backward.biases()
        args.saved, args.biases = buffer.data_ptr(), biases.data_ptr()
        saved += buffer, biases
    if call.forward(ctypes.byref(args)):
        raise RuntimeError(NO_MEMORY.format("forward"))
    del weights  # their memory is used until here
    return returned


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
    input, w_ih, w_hh, *_, buffer = saved if ctx.are_contiguous else _contiguous(saved)
    d_outputs, *d_final = d_returned if ctx.are_contiguous else _contiguous(d_returned)
    needs = ctx.needs_input_grad[NUM_OPTIONS:]
    call: SequenceCall = ctx.call
    new = call.for_backward
    args, weights = call.arguments(input, w_ih, w_hh, "backward_panels")
    args.saved = buffer.data_ptr()
    if d_outputs is not None:
        args.d_outputs = d_outputs.data_ptr()
    gradients: list[Tensor | None] = [None] * len(needs)
    if needs[0]:
        gradients[0] = d_input = new.d_input()
        args.d_input = d_input.data_ptr()
    if any(needs[1:5]):
        gradients[1:3] = d_w_ih, d_w_hh = new.d_w_ih(), new.d_w_hh()
        args.d_w_ih, args.d_w_hh = d_w_ih.data_ptr(), d_w_hh.data_ptr()
        if needs[3]:
            gradients[3] = d_b_ih = new.d_bias()
            args.d_b_ih = d_b_ih.data_ptr()
        if needs[4]:
            gradients[4] = d_b_hh = new.d_bias()
            args.d_b_hh = d_b_hh.data_ptr()
    for index, (part, d_part) in enumerate(zip("hc", d_final, strict=False)):
        if d_part is not None:
            setattr(args, f"d_{part}_n", d_part.data_ptr())
        if needs[5 + index]:
            gradients[5 + index] = d_initial = new.d_state()
            setattr(args, f"d_{part}_0", d_initial.data_ptr())
    if call.backward(ctypes.byref(args)):
        raise RuntimeError(NO_MEMORY.format("backward"))
    del weights  # their memory is used until here
    return gradients if ctx.precision is None else converted(gradients, ctx.dtypes)


def _contiguous(tensors: Sequence[Any]) -> list[Any]:
    return [t if t is None or t.is_contiguous() else t.contiguous() for t in tensors]
