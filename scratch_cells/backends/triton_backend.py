"""The ``triton`` backend: all time steps in one launch of a Triton kernel, on a GPU.

A loop of tensor operations launches several kernels in every time step, and on a GPU the time is
dominated by these launches. Here one kernel computes all steps. It keeps the state in registers
and, in bfloat16, the recurrent weight in the shared memory of its multiprocessor (see
``triton_kernels``). What is one large matrix product stays one, outside of the kernel: the input's
projection, and the gradients of x, W_ih and W_hh.

    forward     projected input of the whole sequence -> kernel -> states, gates
    backward    kernel -> gradients of every pre-activation -> dx, dW_ih, dW_hh, db

Float32 products are exact unless ``torch.backends.cuda.matmul`` allows TF32. In bfloat16 the states
are float32 from step to step; they are rounded where they are stored or multiplied by a weight.
"""

import importlib
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor

from scratch_cells.backends.cell_kernel import (
    GRU_LAYOUT,
    LSTM_LAYOUT,
    RNN_LAYOUT,
    Block,
    CellKernel,
    CellLayout,
)
from scratch_cells.backends.precision import Precision

DTYPES = (torch.float32, torch.bfloat16)

MAX_WEIGHT_ELEMENTS = 2**18
"""Elements of W_hh with H padded: at most 256 hidden units of an LSTM or a GRU, 512 of an RNN.

With larger weights the gates of a program do not fit in the registers of its threads."""

TILE = 32
"""Units of the state in one partial product, where W_hh does not stay on chip."""

OTHER_SHARED_BYTES = 2**15
"""Bytes. Maximum shared memory that the kernels need in addition to weights that stay on chip."""

H100_SHARED_BYTES = 227 * 2**10
"""Bytes. Maximum shared memory of a program on an H100."""


def triton_problem(layout: CellLayout, hidden_size: int, input: Tensor) -> str | None:
    """Why the Triton kernels cannot run for a cell and its input, or None if they can."""
    kernels = _kernels()
    if kernels is None:
        return "the Triton backend needs the package triton, which cannot be imported"
    if input.dtype not in DTYPES:
        return f"the Triton backend supports float32 and bfloat16, and the input is {input.dtype}"
    if not input.numel():
        return "the Triton backend needs a batch that is not empty"
    if layout.gate_count * _padded(hidden_size) ** 2 > MAX_WEIGHT_ELEMENTS:
        return f"hidden_size {hidden_size} is too large for the Triton backend"
    if not input.is_cuda:
        interpreted = bool(kernels.INTERPRETED.value) and input.device.type == "cpu"
        return None if interpreted else f"the Triton backend needs a GPU, not {input.device}"
    if torch.version.cuda is None or torch.cuda.get_device_capability(input.device) < (8,):
        return "the Triton backend needs an NVIDIA GPU of compute capability 8.0 or higher"
    return None


@cache
def _kernels() -> ModuleType | None:
    """The module with the kernels, or None without Triton. Imported late, as it takes long."""
    try:
        return importlib.import_module("scratch_cells.backends.triton_kernels")
    except ImportError:
        return None


def _padded(size: int) -> int:
    """The next power of two, at least 16: the sizes that ``tl.dot`` supports."""
    return max(16, 1 << (size - 1).bit_length())


class TritonKernel(CellKernel):
    """A kernel whose loops over time are one launch each of a function of ``triton_kernels``."""

    uses_blocks = False

    prefix: ClassVar[str]
    """The two functions are called ``prefix``_forward and ``prefix``_backward."""

    relu: ClassVar[bool] = False

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
        super().__init__(w_ih, w_hh.contiguous(), b_ih, b_hh, time, precision, w_hr)

    def forward(self, block: Block) -> None:
        self.project(block)
        self.launch(f"{self.prefix}_forward", block)

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        d_outputs = None if d_outputs is None else d_outputs.contiguous()
        d_state[:] = [part.contiguous() for part in d_state]
        gradients = dict(zip(("d_h", "d_c"), d_state, strict=False))
        self.launch(f"{self.prefix}_backward", block, d=d, d_outputs=d_outputs, **gradients)
        self.write_d_input(block, d)

    def launch(self, name: str, block: Block, **gradients: Tensor | None) -> None:
        """Run a function of ``triton_kernels`` with the arguments that it takes, by name.

        All tensors are contiguous, and ``block`` is the whole sequence. Each program of the grid
        computes some rows of the batch.
        """
        time, batch, size = block.h_after.shape
        reverse = block.h_after.storage_offset() < block.h_before.storage_offset()
        arguments = {
            "gates": block.gates,
            "w_hh": self.w_hh,
            "b_hn": self.b_hn,
            # The earlier one in memory is the beginning of the buffer of time + 1 states.
            "h_all": block.h_after if reverse else block.h_before,
            "c_all": block.c_after if reverse else block.c_before,
            "extra": block.extra,
            **gradients,
            "T": time,
            "B": batch,
            "H": size,
            "RELU": self.relu,
            "SAVE": block.needs_backward,
            "REVERSE": reverse,
        }
        options = self.options()
        grid = (-(-batch // options["ROWS"]),)
        function = getattr(_kernels(), name)
        taken = {name: arguments[name] for name in arguments if name in function.arg_names}
        with torch.cuda.device_of(block.h_after):
            function[grid](**taken, **options)

    def options(self) -> dict[str, Any]:
        """Compile-time options of the kernels for this W_hh."""
        size = self.w_hh.size(1)
        tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
        exact_float32 = self.w_hh.dtype == torch.float32 and not tf32
        return {
            # Tensor cores multiply 16 rows at a time. Exact float32 products do not use them, and
            # then fewer rows in more programs use more of the GPU.
            "ROWS": 4 if exact_float32 else 16,
            "UNITS": _padded(size),
            "TILE": 0 if self.stays_on_chip() else min(TILE, _padded(size)),
            "PRECISION": "ieee" if exact_float32 else "tf32",
            # With 8 warps, 256 units need more registers than there are.
            "num_warps": 16 if size > 128 else 8 if size > 32 else 4,
            "num_stages": 1,
        }

    def stays_on_chip(self) -> bool:
        """Whether W_hh is kept in the shared memory of one multiprocessor, in bfloat16 only.

        Float32 weights are read in tiles: they are twice as large and seldom fit, and an exact
        product of whole matrices needs more registers than there are.
        """
        weights = self.layout.gate_count * _padded(self.w_hh.size(1)) ** 2
        available = _shared_memory(self.w_hh.device) - OTHER_SHARED_BYTES
        fits = weights * self.w_hh.element_size() <= available
        return self.w_hh.dtype == torch.bfloat16 and fits


def _shared_memory(device: torch.device) -> int:
    """Bytes of shared memory for one program; in the interpreter, those of an H100."""
    if device.type != "cuda":
        return H100_SHARED_BYTES
    properties = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin)  # type: ignore[attr-defined]  # untyped


class TritonRNNTanhKernel(TritonKernel):
    """The RNN with tanh."""

    layout = RNN_LAYOUT
    prefix = "rnn"


class TritonRNNReLUKernel(TritonKernel):
    """The RNN with ReLU, by the same functions."""

    layout = RNN_LAYOUT
    prefix = "rnn"
    relu = True


class TritonGRUKernel(TritonKernel):
    """The GRU."""

    layout = GRU_LAYOUT
    prefix = "gru"


class TritonLSTMKernel(TritonKernel):
    """The LSTM. Its backward pass computes tanh(c) again instead of loading it."""

    layout = replace(LSTM_LAYOUT, saves_extra=False)
    prefix = "lstm"


KERNELS: dict[str, type[CellKernel]] = {
    "rnn_tanh": TritonRNNTanhKernel,
    "rnn_relu": TritonRNNReLUKernel,
    "gru": TritonGRUKernel,
    "lstm": TritonLSTMKernel,
}
"""Kind of cell -> the kernel of this backend."""
