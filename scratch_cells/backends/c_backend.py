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
import torch.nn.functional as F
from torch import Tensor

from scratch_cells.backends.buffer_pool import BUFFER_POOL
from scratch_cells.backends.c_compiler import SequenceArgs, load_library
from scratch_cells.backends.cell_kernel import (
    GRU_LAYOUT,
    LSTM_LAYOUT,
    PROJECTED_LSTM_LAYOUT,
    RNN_LAYOUT,
    Block,
    CellKernel,
)
from scratch_cells.backends.precision import HALF, Precision

CORE_CACHE_ELEMENTS = 2**18
"""Elements of W_ih and W_hh together that stay in one core's private cache: 1 MiB in float32."""

MAX_STREAMED_PER_ROW = 2**17
"""Elements. The largest weights that pay off beyond CORE_CACHE_ELEMENTS, for each row of a thread.

Larger weights are read from memory by every thread in every step, so that a thread needs enough
rows of the batch among which to share that cost."""

MIN_PARALLEL_MULTIPLY_ADDS = 2**20
"""Multiply-adds below which one thread is used: starting a second takes longer than it saves."""


FACTOR_DTYPES = (torch.float32, torch.float64, *HALF)
"""The dtypes of products."""

FIRST_INFINITE = {torch.bfloat16: float.fromhex("0x1.FFp127"), torch.float16: 65520.0}
"""The lowest number that a dtype of 16 bits rounds to infinity."""


def c_problem(input: Tensor, dtype: torch.dtype) -> str | None:
    """Why the C kernels cannot run for an input, or None if they can.

    Args:
        input: x.
        dtype: the dtype of the products: that of x, or of autocast.
    """
    if input.device.type != "cpu":
        return f"the C backend needs tensors on the CPU, and the input is on {input.device}"
    if dtype not in FACTOR_DTYPES:
        supported = ", ".join(str(each).removeprefix("torch.") for each in FACTOR_DTYPES)
        return f"the C backend supports {supported}, and the input is {dtype}"
    _, reason = load_library(torch.float32 if dtype in HALF else dtype)
    return reason or None


def c_is_slower(weights: int, batch: int) -> bool:
    """Whether the ``bptt`` backend is faster, for this number of weight elements and rows."""
    streamed = weights * torch.get_num_threads()
    return weights > CORE_CACHE_ELEMENTS and streamed > MAX_STREAMED_PER_ROW * batch


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
        w_ih, w_hh = self.forward_panels
        args: dict[str, Any] = {"w_ih": w_ih.data_ptr(), "w_hh": w_hh.data_ptr()}
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
        w_ih, w_hh = self.backward_panels
        args = {"w_ih": w_ih.data_ptr(), "w_hh": w_hh.data_ptr(), "d": d.data_ptr()}
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
        panels = d.new_empty(threads * self.library.panel_elements(len(d_w_hh), threads))
        args = {"d_w_ih": d_w_ih.data_ptr(), "d_w_hh": d_w_hh.data_ptr()}
        args |= {"d": d.data_ptr(), "panels": panels.data_ptr()}
        self._call("add_to_weights", block, **args)

    @cached_property
    def forward_panels(self) -> tuple[Tensor, Tensor]:
        """W_ih and W_hh packed for the forward pass: a panel has the same units of every gate."""
        lanes, vectors = self._constant("lanes"), self._constant("vectors")
        units = lanes if self.layout.gate_count > 1 else vectors * lanes
        gates = (w.unflatten(0, (self.layout.gate_count, -1)) for w in (self.w_ih, self.w_hh))
        w_ih, w_hh = (pack_panels(in_groups(w), units) for w in gates)
        return w_ih, w_hh

    @cached_property
    def backward_panels(self) -> tuple[Tensor, Tensor]:
        """W_ihᵀ and W_hhᵀ packed for the backward pass: a panel has the columns of one tile."""
        units = self._constant("vectors") * self._constant("lanes")
        weights = self.w_ih, self.w_hh_for_backward()
        w_ih, w_hh = (pack_panels(in_groups(w.t()).unsqueeze(0), units) for w in weights)
        return w_ih, w_hh

    def _call(self, function: str, block: Block, **addresses: Any) -> None:
        """Call a function of the library on a block.

        All buffers of the block are contiguous: ``BPTTFunction``
        allocates them or, in the backward pass, checks and copies what autograd has saved.
        """
        input = _contiguous_rows(block.input)
        step_stride, row_stride, _ = _strides(input)
        packed = block.packed
        args = SequenceArgs(
            T=len(block.order),
            B=_sequences(block),
            I=input.size(-1),
            H=self.hidden_size,
            P=block.h_after.size(-1),
            G=self.layout.gate_count,
            gradient_count=self.layout.gradient_count,
            reverse=block.order[0] > 0,
            threads=self._threads(block),
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
        batch = _sequences(block)
        if self._factors is None:
            self._factors = self.w_hh.new_empty(2, batch, self.w_hh.size(1))
        return self._factors

    def _threads(self, block: Block) -> int:
        rows = block.input.numel() // max(1, block.input.size(-1))
        multiply_adds = rows * (self.w_ih.numel() + self.w_hh.numel())
        return 1 if multiply_adds < MIN_PARALLEL_MULTIPLY_ADDS else torch.get_num_threads()

    def _constant(self, name: str) -> int:
        return ctypes.c_int64.in_dll(self.library, name).value


class CRNNTanhKernel(CKernel):
    """The RNN with tanh."""

    layout = RNN_LAYOUT
    prefix = "rnn_tanh"


class CRNNReLUKernel(CKernel):
    """The RNN with ReLU."""

    layout = RNN_LAYOUT
    prefix = "rnn_relu"


class CGRUKernel(CKernel):
    """The GRU."""

    layout = GRU_LAYOUT
    prefix = "gru"


class CLSTMKernel(CKernel):
    """The LSTM."""

    layout = LSTM_LAYOUT
    prefix = "lstm"


class CProjectedLSTMKernel(CKernel):
    """The LSTM with a projection."""

    layout = PROJECTED_LSTM_LAYOUT
    prefix = "lstm_projected"

    def forward(self, block: Block, **more: int) -> None:
        u = self.w_hh.new_empty(_sequences(block), self.hidden_size)
        super().forward(block, w_hr=self.panels_of_projection[0].data_ptr(), u=u.data_ptr())

    def backward(
        self,
        block: Block,
        d_outputs: Tensor | None,
        d_state: list[Tensor],
        d: Tensor,
        **more: int,
    ) -> None:
        rows = d.flatten(0, -2).size(0)
        du = block.h_after.new_empty(_sequences(block), self.hidden_size)
        u = BUFFER_POOL.empty(rows, self.hidden_size, like=d)
        d_h = BUFFER_POOL.empty(rows, self.w_hh.size(1), like=d)
        addresses = {"du": du.data_ptr(), "u": u.data_ptr(), "d_h": d_h.data_ptr()}
        w_hr = self.panels_of_projection[1].data_ptr()
        super().backward(block, d_outputs, d_state, d, w_hr=w_hr, **addresses)
        self._add_to_projection(u, d_h, self._threads(block))

    def _add_to_projection(self, u: Tensor, d_h: Tensor, threads: int) -> None:
        """dW_hr += d_hᵀ u, as the gradient of the weight of a layer of one gate and P units."""
        panels = u.new_empty(threads * self.library.panel_elements(len(self.d_w_hr), threads))
        args = SequenceArgs(
            T=1,
            B=len(u),
            I=u.size(1),
            H=d_h.size(1),
            P=d_h.size(1),
            G=1,
            gradient_count=1,
            threads=threads,
            input=u.data_ptr(),
            input_row_stride=u.stride(0),
            d=d_h.data_ptr(),
            d_w_ih=self.d_w_hr.data_ptr(),
            panels=panels.data_ptr(),
        )
        self.library.add_to_weights(ctypes.byref(args))

    @cached_property
    def panels_of_projection(self) -> tuple[Tensor, Tensor]:
        """W_hr packed for the forward pass, and W_hrᵀ for the backward pass."""
        assert self.w_hr is not None
        units = self._constant("vectors") * self._constant("lanes")
        weights = self.w_hr, self.w_hr.t()
        forward, backward = (pack_panels(in_groups(w).unsqueeze(0), units) for w in weights)
        return forward, backward


def _sequences(block: Block) -> int:
    """Number of sequences in a block."""
    return block.h_after.size(1) if block.packed is None else block.packed.batch


def pack_panels(w: Tensor, units: int) -> Tensor:
    """(G, H, K) -> (panels, K, G, units); the last panel is padded with zeros."""
    missing = -w.size(1) % units
    padded = F.pad(w, (0, 0, 0, missing)) if missing else w
    panels: Tensor = padded.unflatten(1, (-1, units)).permute(1, 3, 0, 2).contiguous()
    return panels


def in_groups(w: Tensor) -> Tensor:
    """A weight (..., K) as groups of the factors that one instruction multiplies.

    A group of two of bfloat16 is one number of 32 bits: (..., ceil(K / 2)).
    """
    if w.dtype is not torch.bfloat16:
        return w
    size = w.size(-1)
    even = w.new_zeros(*w.shape[:-1], size + size % 2)
    even[..., :size] = w
    return even.view(torch.int32)


def _contiguous_rows(x: Tensor) -> Tensor:
    """x, (T, B, N) or (ΣT, N), with contiguous rows; the other strides are passed to C."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strides(x: Tensor) -> tuple[int, ...]:
    """The strides of x, (T, B, N); with 0 before them for packed sequences, (ΣT, N)."""
    strides = x.stride()
    return strides if len(strides) == 3 else (0, *strides)


KERNELS: dict[str, type[CellKernel]] = {
    "rnn_tanh": CRNNTanhKernel,
    "rnn_relu": CRNNReLUKernel,
    "gru": CGRUKernel,
    "lstm": CLSTMKernel,
    "lstm_projected": CProjectedLSTMKernel,
}
"""Kind of cell -> the kernel of this backend."""
