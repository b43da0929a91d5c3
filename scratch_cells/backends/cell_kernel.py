"""What the kernels of every backend have in common: one cell over a block of time steps.

A *kernel* computes the forward and the backward pass of one kind of cell. ``bptt`` cuts a sequence
into blocks and calls the kernel for each of them. dX denotes the gradient of the loss with respect
to X.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from scratch_cells.backends.matmul import Matmul, make_matmul
from scratch_cells.backends.packed_rows import PackedRows
from scratch_cells.backends.precision import Precision

SMALL_WEIGHT = 2**17
"""Elements. Up to this size the gradient of a weight is accumulated transposed.

The matrix library is up to twice as fast that way where one side of the product is narrow. The
result is transposed back once, after the last block."""


@dataclass(frozen=True)
class CellLayout:
    """What a kernel stores for each unit and time step.

    Attributes:
        gate_count: G. The weights have G*H rows.
        resets_candidate: whether a reset gate r multiplies the recurrent part of the candidate,
            m = W_hn h + b_hn, as in the GRU. Then b_hn cannot be added to the projected input, and
            dm differs from dn. The gradients of a step are dm, dr, dz, dn in this order: the first
            three belong to the recurrent part, the last three to the projected input.
        has_cell_state: whether the state is (h, c) instead of h alone.
        gates_are_states: whether the only gate is h itself, so that one buffer holds both.
        saves_extra: whether one more value is saved for backward: m, or tanh(c) in the LSTM.
        has_projection: whether h = W_hr u with u = o ⊙ tanh(c), and h has P units instead of H.
    """

    gate_count: int
    resets_candidate: bool = False
    has_cell_state: bool = False
    gates_are_states: bool = False
    saves_extra: bool = False
    has_projection: bool = False

    @property
    def gradient_count(self) -> int:
        """Gradients of one unit at one time step."""
        return self.gate_count + self.resets_candidate


RNN_LAYOUT = CellLayout(gate_count=1, gates_are_states=True)
GRU_LAYOUT = CellLayout(gate_count=3, resets_candidate=True, saves_extra=True)
LSTM_LAYOUT = CellLayout(gate_count=4, has_cell_state=True, saves_extra=True)
PROJECTED_LSTM_LAYOUT = replace(LSTM_LAYOUT, has_projection=True)


Steps = tuple[Tensor, ...]
"""One view of a buffer for each time step."""


@dataclass
class Block:
    """Consecutive time steps of a sequence, as views into whole-sequence buffers.

    With packed sequences, the buffers have one dimension for the rows of all steps in the place of
    (steps, B).

    Attributes:
        order: the steps of the block, counted from 0, in the order of the forward pass.
        input: x, (steps, B, I).
        d_input: output buffer for the gradient of x, (steps, B, I), or None.
        gates: (steps, B, G*H). The gates after their activation.
        h_before, h_after: the hidden state before and after each step, (steps, B, H); with a
            projection (steps, B, P).
        c_before, c_after: the cell state before and after each step; empty without one.
        extra: one more value of each step, (steps, B, H); empty without ``saves_extra``.
        needs_backward: whether a backward pass may follow.
        packed: where the rows of each step are; None if the sequences are not packed.
    """

    order: list[int]
    input: Tensor
    d_input: Tensor | None
    gates: Tensor
    h_before: Tensor
    h_after: Tensor
    c_before: Tensor
    c_after: Tensor
    extra: Tensor
    needs_backward: bool
    packed: PackedRows | None = None

    def steps(self, buffer: Tensor) -> Steps:
        """One view for each time step of a buffer that has the rows of x."""
        return buffer.unbind(0) if self.packed is None else self.packed.steps(buffer)

    def h_steps(self) -> tuple[Steps, Steps]:
        """One view of ``h_before`` and one of ``h_after`` for each time step."""
        return self._steps_of_states(self.h_before, self.h_after)

    def c_steps(self) -> tuple[Steps, Steps]:
        """One view of ``c_before`` and one of ``c_after`` for each time step."""
        if self.packed is not None and not self.needs_backward:
            current = self.active_rows(self.c_before)
            return current, current
        return self._steps_of_states(self.c_before, self.c_after)

    def active_rows(self, state: Tensor) -> Steps:
        """For each time step a view of the rows of a state that the step changes."""
        if self.packed is None:
            return (state,) * len(self.order)
        return tuple(state[:rows] for rows in self.packed.batch_sizes)

    def aligned(self, before: Tensor) -> Tensor:
        """``h_before`` or ``c_before`` with the same rows as x."""
        if self.packed is None or self.order[0] > 0:
            return before
        return torch.cat(self.packed.steps_of_states(before, earlier=True))

    def _steps_of_states(self, before: Tensor, after: Tensor) -> tuple[Steps, Steps]:
        if self.packed is None:
            return before.unbind(0), after.unbind(0)
        reverse = self.order[0] > 0
        return (
            self.packed.steps_of_states(before, earlier=not reverse),
            self.packed.steps_of_states(after, earlier=reverse),
        )


class CellKernel(ABC):
    """The forward and the backward pass of one kind of cell over a block of time steps.

    Args:
        w_ih: (G*H, I).
        w_hh: (G*H, H), or (G*H, P).
        b_ih, b_hh: (G*H,), or None without a bias. Only the forward pass needs them.
        time: number of time steps of the whole sequence.
        precision: the dtypes of the call, if not all tensors are of one dtype.
        w_hr: (P, H) with a projection, else None.
    """

    layout: ClassVar[CellLayout]

    uses_blocks: ClassVar[bool] = True
    """Whether the sequence is cut into blocks; if not, the whole sequence is one block."""

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
        self.precision = precision
        self.w_ih = w_ih
        self.w_hh = w_hh
        self.w_hr = w_hr
        self.time = time
        self.b_ih = b_ih
        self.b_hh = b_hh

    @property
    def hidden_size(self) -> int:
        """Number of units, H."""
        return self.w_hh.size(0) // self.layout.gate_count

    @classmethod
    def precision_for(cls, rounded: torch.dtype) -> Precision | None:
        """The dtypes of a call with x and weights of a dtype; None if everything is of it."""
        return None

    def sums(self, *shape: int) -> Tensor:
        """Zeros of the dtype of sums: biases, states and gradients of the weights."""
        dtype = self.w_hh.dtype if self.precision is None else self.precision.sums
        return self.w_hh.new_zeros(shape, dtype=dtype)

    @cached_property
    def projection_bias(self) -> Tensor:
        """What is added to W_ih x once, for the whole sequence, (G*H,), in memory of its own."""
        biases = [bias for bias in (self.b_ih, self.b_hh) if bias is not None]
        if not biases:
            return self.sums(self.w_hh.size(0))
        bias = biases[0].clone() if len(biases) == 1 else biases[0] + biases[1]
        if self.layout.resets_candidate and self.b_hh is not None:
            candidate = slice(2 * self.w_hh.size(1), None)
            bias[candidate] = 0 if self.b_ih is None else self.b_ih[candidate]
        return bias

    @cached_property
    def b_hn(self) -> Tensor:
        """The GRU's bias of the recurrent part of the candidate, (H,), in memory of its own."""
        if not self.layout.resets_candidate:
            return self.projection_bias  # not read
        size = self.w_hh.size(1)
        return self.sums(size) if self.b_hh is None else self.b_hh[2 * size :].clone()

    @abstractmethod
    def forward(self, block: Block) -> None:
        """Fill the block's ``gates``, ``h_after``, ``c_after`` and ``extra`` from its ``input``."""

    @abstractmethod
    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        """Compute the gradients of a block.

        Args:
            block: as ``forward`` left it; its ``d_input`` is filled unless it is None.
            d_outputs: gradient of the outputs, with the shape of ``block.h_after``, or None.
            d_state: [dh] or [dh, dc], the gradient of the state after the block, (B, size) each.
                Replaced by the gradient of the state before the block.
            d: filled with the gradients of every step, (steps, B, gradient_count*H).
        """

    # The kernels that compute only the recurrence call the next two for what depends on x.

    def project(self, block: Block) -> None:
        """Fill the gates with W_ih x + b, for all steps of the block in one matrix product."""
        self._projection.write(block.input.flatten(0, -2), out=block.gates.flatten(0, -2))

    def write_d_input(self, block: Block, d: Tensor) -> None:
        """Compute the gradient of x from ``d`` if the block has a buffer for it."""
        if block.d_input is not None:
            d_projected = self.projection_part(d.flatten(0, -2))
            torch.mm(d_projected, self.w_ih, out=block.d_input.flatten(0, -2))

    @cached_property
    def _projection(self) -> Matmul:
        return make_matmul(self.w_ih, self.time, self.projection_bias)

    # The gradients of the weights

    @cached_property
    def d_w_hr(self) -> Tensor:
        """The gradient of W_hr, to which ``backward`` adds the part of each block."""
        assert self.w_hr is not None
        return self.w_hr.new_zeros(self.w_hr.shape)

    def new_accumulator(self, w: Tensor) -> Tensor:
        """Zeros in which the gradient of ``w`` is accumulated; transposed in memory if small."""
        small = w.numel() <= SMALL_WEIGHT
        return w.new_zeros(w.shape[::-1]).t() if small else w.new_zeros(w.shape)

    def add_to_weights(self, block: Block, d: Tensor, d_w_ih: Tensor, d_w_hh: Tensor) -> None:
        """Add the block's part of the gradients of both weights, computed from ``d``."""
        d = d.flatten(0, -2)
        h_before = block.aligned(block.h_before)
        d_w_ih.addmm_(self.projection_part(d).t(), block.input.flatten(0, -2))
        d_w_hh.addmm_(self.recurrent_part(d).t(), h_before.flatten(0, -2))

    def sum_rows(self, d: Tensor) -> Tensor:
        """The gradients of the biases for the steps of ``d``, with its columns."""
        dtype = d.dtype if self.precision is None else self.precision.sums
        return d.flatten(0, -2).sum(0, dtype=dtype)

    def projection_part(self, d: Tensor) -> Tensor:
        """The part of ``d`` that is the gradient of W_ih x + b_ih: (..., G*H)."""
        return d[..., self.w_hh.size(1) :] if self.layout.resets_candidate else d

    def recurrent_part(self, d: Tensor) -> Tensor:
        """The part of ``d`` that is the gradient of W_hh h + b_hh: (..., G*H)."""
        return d[..., : self.w_hh.size(0)] if self.layout.resets_candidate else d

    def to_weight_order(self, d_w: Tensor) -> Tensor:
        """Reorder the rows of a gradient of W_hh or b_hh from ``recurrent_part`` to W_hh."""
        if not self.layout.resets_candidate:
            return d_w
        return d_w.roll(-self.w_hh.size(1), dims=0)  # m, r, z -> r, z, m

    def w_hh_for_backward(self) -> Tensor:
        """W_hh with its rows in the order of ``recurrent_part``."""
        if not self.layout.resets_candidate:
            return self.w_hh
        w_hr_hz, w_hn = self.w_hh.split(2 * self.w_hh.size(1))
        return torch.cat([w_hn, w_hr_hz])
