"""The ``c`` backend: the forward and the backward loop over time in C, on the CPU.

In the ``bptt`` backend a time step takes about ten tensor operations, and the time is dominated by
the overhead of each operation: a call from Python, a round trip through the cache, and the
distribution of the work over the threads. In ``c_kernels/`` a time step is one pass over the data,
and a thread computes all steps for its rows of the batch, including the input's projection and its
gradient.
"""

import ctypes
import math
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from scratch_cells.backends.buffer_pool import BUFFER_POOL
from scratch_cells.backends.c_compiler import SequenceArgs, load_library
from scratch_cells.backends.cell_kernel import Block, CellKernel
from scratch_cells.backends.precision import HALF, Precision

CORE_CACHE_ELEMENTS = 2**18
"""Elements of W_ih and W_hh together that stay in one core's private cache: 1 MiB in float32."""

MAX_BYTES_IN_STEPS = 2**23
"""Bytes of both weights up to which W_ih x is computed in each step, and not for all steps at once.

Then each step reads both from the cache that all cores share. Larger weights do not stay in it."""

MIN_ROWS_OF_LARGE_WEIGHTS = 64
"""Rows of all time steps from which it pays off to pack weights beyond CORE_CACHE_ELEMENTS."""

MIN_PARALLEL_MULTIPLY_ADDS = 2**20
"""Multiply-adds below which one thread is used: starting a second takes longer than it saves."""

MIN_PARALLEL_PACKING = 2**16
"""Elements of W_ih and W_hh below which one thread packs them."""

MIN_ROWS_OF_A_THREAD = 6
"""Rows of the batch that each thread needs to use its registers well: those of a tile."""

MIN_SHARED_STEP = 2**19
"""Multiply-adds of the recurrent product of a step that threads share: waiting takes about 1 µs."""


FACTOR_DTYPES = {
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    **dict.fromkeys(HALF, torch.float32),
}
"""The dtypes of products -> the dtype of everything else."""

FIRST_INFINITE = {torch.bfloat16: float.fromhex("0x1.FFp127"), torch.float16: 65520.0}
"""The lowest number that a dtype of 16 bits rounds to infinity."""


def c_problem(input: Tensor, dtype: torch.dtype) -> str | None:
    """Why the C kernels cannot run for an input, or None if they can.

    Args:
        input: x.
        dtype: the dtype of the products: that of x, or of autocast.
    """
    if not input.is_cpu:
        return f"the C backend needs tensors on the CPU, and the input is on {input.device}"
    if dtype not in FACTOR_DTYPES:
        supported = ", ".join(str(each).removeprefix("torch.") for each in FACTOR_DTYPES)
        return f"the C backend supports {supported}, and the input is {dtype}"
    return load_library(FACTOR_DTYPES[dtype])[1] or None


def c_is_slower(weights: int, time: int, rows: int) -> bool:
    """Whether the ``bptt`` backend is faster.

    Args:
        weights: number of elements of W_ih and W_hh.
        time: number of time steps. The weights are not packed for one step.
        rows: number of rows of all time steps.
    """
    return weights > CORE_CACHE_ELEMENTS and time > 1 and rows < MIN_ROWS_OF_LARGE_WEIGHTS


def thread_count(rows: int, weights: int) -> int:
    """Number of threads for the rows of all time steps and a number of weight elements."""
    return 1 if rows * weights < MIN_PARALLEL_MULTIPLY_ADDS else torch.get_num_threads()


def shares_units(batch: int, weights: int, recurrent: int) -> bool:
    """Whether threads share the units of every step, and wait for each other after it.

    Otherwise they share the rows, and each of them reads all of the weights.

    Args:
        batch: number of rows.
        weights, recurrent: number of elements of both weights, and of W_hh.
    """
    if batch * recurrent < MIN_SHARED_STEP:
        return False
    few_rows = batch < MIN_ROWS_OF_A_THREAD * torch.get_num_threads()
    return few_rows or weights > CORE_CACHE_ELEMENTS


def projects_in_steps(w_ih: Tensor, w_hh: Tensor) -> bool:
    """Whether W_ih x is computed in each step, with W_hh h, and no gates are stored before it."""
    return w_ih.nbytes + w_hh.nbytes <= MAX_BYTES_IN_STEPS


class CKernel(CellKernel):
    """A kernel whose forward and backward pass are one function of ``c_kernels/`` each."""

    prefix: ClassVar[str]
    """The two functions are called ``prefix``_forward and ``prefix``_backward."""

    def __init__(
        self,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None,
        b_hh: Tensor | None,
        time: int,
        precision: Precision | None = None,
        w_hr: Tensor | None = None,
    ) -> None:
        super().__init__(w_ih, w_hh, b_ih, b_hh, time, precision, w_hr)
        library, reason = load_library(w_hh.dtype)
        assert library is not None, reason
        self._factors: Tensor | None = None
        self.library = library

    @classmethod
    def precision_for(cls, rounded: torch.dtype) -> Precision | None:
        """Products of bfloat16 where the processor has them, else of float32."""
        if rounded not in HALF:
            return None
        has_products = rounded is torch.bfloat16 and load_library(rounded)[0] is not None
        return Precision(rounded, rounded if has_products else torch.float32)

    def forward(self, block: Block, **more: int) -> None:
        args: dict[str, Any] = _addresses(self.forward_panels)
        if self.precision is not None:
            args["first_infinite"] = FIRST_INFINITE[self.precision.rounded]
            args["h_factors"] = self._h_factors(block).data_ptr()
        args |= {"b": self.projection_bias.data_ptr(), "b_hn": self.b_hn.data_ptr()}
        self._call(f"{self.prefix}_forward", block, **args, **more)

    def backward(
        self,
        block: Block,
        d_outputs: Tensor | None,
        d_state: list[Tensor],
        d: Tensor,
        **more: int,
    ) -> None:
        d_state[:] = [part.contiguous() for part in d_state]
        args = _addresses(self.backward_panels)
        args |= {"d": d.data_ptr(), "d_row_stride": d.stride(-2)}
        args |= zip(("dh", "dc"), map(Tensor.data_ptr, d_state), strict=False)
        if d_outputs is not None:
            d_outputs = _contiguous_rows(d_outputs)
            args["d_outputs"] = d_outputs.data_ptr()
            step_stride, row_stride, _ = _strides(d_outputs)
            args |= {"d_outputs_step_stride": step_stride, "d_outputs_row_stride": row_stride}
        if block.d_input is not None:
            args["d_input"] = block.d_input.data_ptr()
        self._call(f"{self.prefix}_backward", block, **args, **more)

    def new_accumulator(self, w: Tensor) -> Tensor:
        return self.sums(*w.shape)

    def add_to_weights(self, block: Block, d: Tensor, d_w_ih: Tensor, d_w_hh: Tensor) -> None:
        threads = self._threads(block)
        columns = max(d_w_ih.size(1), d_w_hh.size(1))
        panels = d.new_empty(threads * self.library.panel_elements(columns))
        args = {"d_w_ih": d_w_ih.data_ptr(), "d_w_hh": d_w_hh.data_ptr()}
        args |= {"d": d.data_ptr(), "d_row_stride": d.stride(-2), "panels": panels.data_ptr()}
        self._call("add_to_weights", block, **args)

    def sum_rows(self, d: Tensor) -> Tensor:
        columns = d.size(-1)
        sums = self.sums(columns)
        sizes = map(ctypes.c_int64, (d.numel() // columns, columns, columns))
        addresses = map(ctypes.c_void_p, (d.data_ptr(), sums.data_ptr()))
        self.library.sum_rows(next(addresses), *sizes, next(addresses))
        return sums

    @cached_property
    def forward_panels(self) -> tuple[Tensor, ...]:
        """The weights packed for the forward pass: a panel has the same units of every gate."""
        sizes = self.w_ih.size(1), self.w_hh.size(1)
        columns = self.layout.gate_count * self._padded(self.hidden_size)
        elements = [columns * self._padded(size, "group") for size in sizes]
        if self.w_hr is not None:
            elements.append(self._padded(sizes[1]) * self._padded(self.hidden_size, "group"))
        return self._pack("pack_for_forward", elements)

    @cached_property
    def backward_panels(self) -> tuple[Tensor, ...]:
        """The transposed weights packed for the backward pass."""
        sizes = self.w_ih.size(1), self.w_hh.size(1)
        depth = self._padded(self.w_hh.size(0), "group")
        elements = [depth * self._padded(size) for size in sizes]
        if self.w_hr is not None:
            elements.append(self._padded(sizes[1], "group") * self._padded(self.hidden_size))
        return self._pack("pack_for_backward", elements)

    def _padded(self, size: int, multiple: str = "lanes") -> int:
        """The next multiple of a constant: a panel has whole vectors, and whole groups of factors.

        Args:
            size: number of columns or, for "group", the depth.
            multiple: name of the constant.
        """
        return size + -size % self._constant(multiple)

    def _pack(self, function: str, elements: list[int]) -> tuple[Tensor, ...]:
        """Panels of W_ih, W_hh and, with a projection, W_hr, with as many ``elements``."""
        w_ih, w_hh = self.w_ih.contiguous(), self.w_hh.contiguous()
        w_hr = None if self.w_hr is None else self.w_hr.contiguous()
        panels = tuple(BUFFER_POOL.empty(count, like=w_ih) for count in elements)
        large = w_ih.numel() + w_hh.numel() >= MIN_PARALLEL_PACKING
        args = SequenceArgs(
            I=w_ih.size(1),
            H=self.hidden_size,
            P=w_hh.size(1),
            G=self.layout.gate_count,
            gradient_count=self.layout.gradient_count,
            threads=torch.get_num_threads() if large else 1,
            projects_in_steps=projects_in_steps(w_ih, w_hh),
            w_ih=w_ih.data_ptr(),
            w_hh=w_hh.data_ptr(),
            w_hr=None if w_hr is None else w_hr.data_ptr(),
            **_addresses(panels),
        )
        getattr(self.library, function)(ctypes.byref(args))
        return panels

    def _call(self, function: str, block: Block, **addresses: Any) -> None:
        """Call a function of the library on a block.

        All buffers of the block are contiguous: ``BPTTFunction``
        allocates them or, in the backward pass, checks and copies what autograd has saved.
        """
        input = _contiguous_rows(block.input)
        step_stride, row_stride, _ = _strides(input)
        packed = block.packed
        batch = sequence_count(block)
        if packed is None and batch == 1:
            row_stride = step_stride  # consecutive steps are rows of one product
        args = SequenceArgs(
            T=len(block.order),
            B=batch,
            I=input.size(-1),
            H=self.hidden_size,
            P=block.h_after.size(-1),
            G=self.layout.gate_count,
            gradient_count=self.layout.gradient_count,
            reverse=block.order[0] > 0,
            threads=self._threads(block),
            share_units=shares_units(
                batch, self.w_ih.numel() + self.w_hh.numel(), self.w_hh.numel()
            ),
            projects_in_steps=projects_in_steps(self.w_ih, self.w_hh),
            offsets=None if packed is None else packed.offsets[1:].ctypes.data,
            needs_backward=block.needs_backward,
            input=input.data_ptr(),
            input_step_stride=step_stride,
            input_row_stride=row_stride,
            gates=block.gates.data_ptr(),
            h_before=block.h_before.data_ptr(),
            h_after=block.h_after.data_ptr(),
            extra=block.extra.data_ptr(),
            c_before=block.c_before.data_ptr(),
            c_after=block.c_after.data_ptr(),
            **({"first_infinite": math.inf} | addresses),
        )
        getattr(self.library, function)(ctypes.byref(args))

    def _h_factors(self, block: Block) -> Tensor:
        """Memory for h of two steps, as factors. The kernel keeps it as long as itself."""
        batch = sequence_count(block)
        if self._factors is None:
            self._factors = self.w_hh.new_empty(2, batch, self.w_hh.size(1))
        return self._factors

    def _threads(self, block: Block) -> int:
        rows = block.input.numel() // max(1, block.input.size(-1))
        return thread_count(rows, self.w_ih.numel() + self.w_hh.numel())

    def _constant(self, name: str) -> int:
        return ctypes.c_int64.in_dll(self.library, name).value


def sequence_count(block: Block) -> int:
    """Number of sequences in a block."""
    return block.h_after.size(1) if block.packed is None else block.packed.batch


def _addresses(panels: tuple[Tensor, ...]) -> dict[str, int]:
    """The arguments for the panels of W_ih, W_hh and, with a projection, W_hr."""
    names = ("w_ih_panels", "w_hh_panels", "w_hr_panels")
    return dict(zip(names, map(Tensor.data_ptr, panels), strict=False))


def _contiguous_rows(x: Tensor) -> Tensor:
    """x, (T, B, N) or (ΣT, N), with contiguous rows; the other strides are passed to C."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strides(x: Tensor) -> tuple[int, ...]:
    """The strides of x, (T, B, N); with 0 before them for packed sequences, (ΣT, N)."""
    strides = x.stride()
    return strides if len(strides) == 3 else (0, *strides)
