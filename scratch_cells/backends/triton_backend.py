"""A layer in one launch on the GPU: all steps forward, and all steps back, in one Triton kernel.

A loop of tensor operations launches a handful of kernels a step, and on a GPU the launches are what
takes the time. Here the three cells' derivations walk by a kernel that does the steps itself, the
state in its registers and, in bfloat16, the recurrent weights in its multiprocessor's shared
memory (see ``fused_kernels``). What is one big matrix product stays one, outside the kernel, as in
``bptt``: the input's projection, and the gradients of x, W_ih and W_hh.

    forward     projected input of the whole sequence -> kernel -> states, gates
    backward    kernel -> gradients of every preactivation -> dx, dW_ih, dW_hh, db
"""

import importlib
from functools import cache
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor

from scratch_cells.backends.bptt import (
    autocast_is_on,
    derivation_of,
    exact,
    operands_of,
    through_time,
)
from scratch_cells.backends.c_backend import unroll_compiled
from scratch_cells.backends.torch_backend import (
    Block,
    Derivation,
    GRUByHand,
    LSTMByHand,
    ReLUByHand,
    TanhByHand,
)
from scratch_cells.cell import Cell
from shared_interface import State

WEIGHTS = 2**16
"""The most numbers in a W_hh, H padded: 128 units of an LSTM or a GRU, 256 of an RNN."""

TILE = 32
"""Units of the state that one partial product takes where the weights do not stay on chip."""

SPARE = 2**15
"""Bytes of shared memory that the kernels want beside the weights, at most."""


def unroll_fused(
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """What :func:`~scratch_cells.unroll.unroll` gives, in one launch of a kernel a layer.

    For the three cells in float32 and bfloat16, also under bfloat16 autocast, of up to 128 hidden
    units (an RNN: 256), on NVIDIA GPUs from Ampere on and in Triton's interpreter. Beyond that size
    one multiprocessor would spend its time fetching weights. Float32 products are exact unless
    ``torch.backends.cuda.matmul.allow_tf32`` says otherwise. In bfloat16 the states are carried
    along in float32, and are rounded only where they are written down or meet a weight.

    Everything else goes the way that ``"auto"`` goes: other devices, no Triton, larger layers,
    float64, and all that ``unroll_by_hand`` leaves to the plain loop.
    """
    operands = operands_of(cell, input, state)
    if autocast_is_on(input):
        operands = _cast(operands, torch.get_autocast_dtype(input.device.type))
    if (
        batch_sizes is not None
        or not exact(cell, operands, (torch.float32, torch.bfloat16))
        or not covers(cell, input)
    ):
        return unroll_compiled(cell, input, state, batch_sizes, reverse)
    return through_time(cell, IN_ONE_LAUNCH[derivation_of(cell)], operands, reverse)


def covers(cell: Cell, input: Tensor) -> bool:
    """Whether there are kernels for this cell, of this size, where the input is."""
    derivation, kernels = derivation_of(cell), _kernels()
    if derivation is None or kernels is None or not input.numel():
        return False
    if derivation.gate_count * _padded(cell.hidden_size) ** 2 > WEIGHTS:
        return False
    if not input.is_cuda:
        return bool(kernels.INTERPRETED.value) and input.device.type == "cpu"
    return torch.version.cuda is not None and torch.cuda.get_device_capability(input.device) >= (8,)


def _cast(operands: list[Tensor | None], dtype: torch.dtype) -> list[Tensor | None]:
    """x and the weights in autocast's dtype; the state is carried in its own, as everywhere."""
    cast = [t.to(dtype) if t is not None and t.dtype == torch.float32 else t for t in operands[:5]]
    return cast + operands[5:]


@cache
def _kernels() -> ModuleType | None:
    """The kernels; None where there is no Triton. Found at the first call: it takes its time."""
    try:
        return importlib.import_module("scratch_cells.backends.triton_kernels")
    except ImportError:
        return None


def _padded(size: int) -> int:
    """The next power of two, at least 16: what a matrix product on the chip wants."""
    return max(16, 1 << (size - 1).bit_length())


class _InOneLaunch(Derivation):
    """A derivation that walks the whole sequence by one launch of a kernel, either way."""

    in_blocks = False

    def __init__(self, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, time: int) -> None:
        super().__init__(w_ih, w_hh.contiguous(), b_ih, b_hh, time)

    def launch(self, name: str, block: Block, *given: Tensor | int | None, **flags: bool) -> None:
        """Run the kernel ``name`` on contiguous tensors, a program for each few rows of B."""
        options = self.options() | flags
        grid = (-(-block.h_after.size(1) // options["ROWS"]),)
        with torch.cuda.device_of(block.h_after):
            getattr(_kernels(), name)[grid](
                *given, *block.h_after.shape, REVERSE=block.order[0] > 0, **options
            )

    def launch_back(
        self,
        name: str,
        block: Block,
        given: tuple[Tensor, ...],
        d_outputs: Tensor | None,
        d_state: list[Tensor],
        **flags: bool,
    ) -> None:
        """The same with what gradients come from outside; ``d_state`` is turned in place."""
        d_outputs = None if d_outputs is None else d_outputs.contiguous()
        d_state[:] = [part.contiguous() for part in d_state]
        self.launch(name, block, *given, d_outputs, *d_state, **flags)

    def options(self) -> dict[str, Any]:
        """How the kernels are compiled for this W_hh."""
        size = self.w_hh.size(1)
        tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
        exact_float32 = self.w_hh.dtype == torch.float32 and not tf32
        return {
            # Tensor cores take 16 rows at a time. Exact float32 products do without them, and then
            # fewer rows in more programs spread over more of the chip.
            "ROWS": 4 if exact_float32 else 16,
            "UNITS": _padded(size),
            "TILE": 0 if self.stays_on_chip() else min(TILE, _padded(size)),
            "PRECISION": "ieee" if exact_float32 else "tf32",
            "num_warps": 8 if size > 32 else 4,
            "num_stages": 1,
        }

    def stays_on_chip(self) -> bool:
        """Whether W_hh fits one multiprocessor's shared memory, in bfloat16.

        Float32 comes in tiles: twice as large, it seldom fits, and an exact product of whole
        matrices wants more registers than there are.
        """
        weights = self.gate_count * _padded(self.w_hh.size(1)) ** 2 * self.w_hh.element_size()
        room = _shared_memory(self.w_hh.device) - SPARE
        return self.w_hh.dtype == torch.bfloat16 and weights <= room


def _shared_memory(device: torch.device) -> int:
    """Bytes that one program can have; the interpreter is taken for an H100."""
    if device.type != "cuda":
        return 227 * 2**10
    return int(torch.cuda.get_device_properties(device).shared_memory_per_block_optin)  # type: ignore[attr-defined]


class TanhInOneLaunch(_InOneLaunch, TanhByHand):
    """The RNN, by ``rnn_forward`` and ``rnn_backward``."""

    relu: ClassVar[bool] = False

    def forward(self, block: Block) -> None:
        given = block.gates, self.w_hh, block.h_before
        self.launch("rnn_forward", block, *given, block.h_after, RELU=self.relu)

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        given = d, self.w_hh, block.h_after
        self.launch_back("rnn_backward", block, given, d_outputs, d_state, RELU=self.relu)


class ReLUInOneLaunch(TanhInOneLaunch):
    """The RNN with ReLU, by the same kernels."""

    relu = True


class GRUInOneLaunch(_InOneLaunch, GRUByHand):
    """The GRU, by ``gru_forward`` and ``gru_backward``."""

    def forward(self, block: Block) -> None:
        given = block.gates, self.w_hh, self.b_hn, block.h_before
        self.launch("gru_forward", block, *given, block.h_after, block.kept, KEEP=block.keep)

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        given = d, block.gates, self.w_hh, block.h_before, block.kept
        self.launch_back("gru_backward", block, given, d_outputs, d_state)


class LSTMInOneLaunch(_InOneLaunch, LSTMByHand):
    """The LSTM, by ``lstm_forward`` and ``lstm_backward``, which computes tanh(c) once more."""

    keeps = False

    def forward(self, block: Block) -> None:
        given = block.gates, self.w_hh, block.h_before, block.h_after
        c = block.c_before, block.c_after, block.c_after.stride(0)  # 0 where one step is for all
        self.launch("lstm_forward", block, *given, *c, KEEP=block.keep)

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        given = d, block.gates, self.w_hh, block.c_before
        self.launch_back("lstm_backward", block, given, d_outputs, d_state)


IN_ONE_LAUNCH: dict[type[Derivation] | None, type[Derivation]] = {
    TanhByHand: TanhInOneLaunch,
    ReLUByHand: ReLUInOneLaunch,
    GRUByHand: GRUInOneLaunch,
    LSTMByHand: LSTMInOneLaunch,
}
