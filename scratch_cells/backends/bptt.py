"""Backpropagation through time by hand: the fast twin of ``unroll``.

``unroll`` leaves the gradient to autograd, which keeps every intermediate of every step and visits
each once more. Here the sequence is one node of the graph: it keeps the gates and states in
whole-sequence buffers, and its gradient is written out in ``derivations``. The recurrent weights'
gradient is one matrix product a block of steps instead of one a step.

    forward     projected input of a block -> walk along it -> next block
    backward    walk back along a block -> dx, dW_ih, dW_hh, db of it -> the block before

Blocks are short enough to stay in the cache between the product, the walk and the sums.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call

from scratch_cells.backends.buffer_pool import RESERVE
from scratch_cells.backends.torch_backend import (
    Block,
    Derivation,
    GRUByHand,
    LSTMByHand,
    ReLUByHand,
    TanhByHand,
)
from scratch_cells.cell import Cell, parts, whole
from scratch_cells.gru import GRUCell
from scratch_cells.lstm import LSTMCell
from scratch_cells.rnn import RNNCell
from scratch_cells.unroll import unroll
from shared_interface import State

BLOCK = 2**19
"""Numbers in a block's gates: 2 MiB in float32."""
WEIGHTS = (
    "input_to_hidden.weight",
    "hidden_to_hidden.weight",
    "input_to_hidden.bias",
    "hidden_to_hidden.bias",
)
"""In the order in which they are handed on: W_ih, W_hh, b_ih, b_hh."""


def unroll_by_hand(
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """What :func:`~scratch_cells.unroll.unroll` gives, faster where that is possible exactly.

    Everything else falls back to the plain loop: packed sequences, cells other than the three,
    functorch transforms, dispatch modes such as torch's counter of operations, forward-mode AD,
    compiling and tracing, autocast, dtypes other than float32 and float64, cells with hooks or
    parametrizations on their Linears. The second derivative is taken through the plain loop too.
    """
    derivation = derivation_of(cell)
    operands = operands_of(cell, input, state)
    if (
        derivation is None
        or batch_sizes is not None
        or autocast_is_on(input)
        or not exact(cell, operands, (torch.float32, torch.float64))
    ):
        return unroll(cell, input, state, batch_sizes, reverse)
    return through_time(cell, derivation, operands, reverse)


def operands_of(cell: Cell, input: Tensor, state: State) -> list[Tensor | None]:
    """x, W_ih, W_hh, b_ih, b_hh and the parts of the state."""
    x_to_h, h_to_h = cell.input_to_hidden, cell.hidden_to_hidden
    return [input, x_to_h.weight, h_to_h.weight, x_to_h.bias, h_to_h.bias, *parts(state)]


def through_time(
    cell: Cell, derivation: type[Derivation], operands: list[Tensor | None], reverse: bool
) -> tuple[Tensor, State]:
    """The outputs and the final state, as one node of the graph."""
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in operands if t is not None)
    outputs, *final = ThroughTime.apply(cell, derivation, keep, reverse, *operands)
    return outputs, whole(final)


def derivation_of(cell: Cell) -> type[Derivation] | None:
    """The derivation of a cell of exactly this class, whose step is as the package has it."""
    if type(cell) is RNNCell:
        return {"tanh": TanhByHand, "relu": ReLUByHand}.get(cell.nonlinearity)
    return {GRUCell: GRUByHand, LSTMCell: LSTMByHand}.get(type(cell))


def exact(cell: Cell, operands: list[Tensor | None], dtypes: tuple[torch.dtype, ...]) -> bool:
    """Whether a derivation gives on these operands, of one of the dtypes, what the loop gives."""
    tensors = [tensor for tensor in operands if tensor is not None]
    return tensors[0].dtype in dtypes and _eager(tensors) and _as_written(cell)


def autocast_is_on(tensor: Tensor) -> bool:
    """Whether autocast is on where the tensor is; the meta device has none to ask for."""
    device = tensor.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _as_written(cell: Cell) -> bool:
    """Whether nothing hangs on the cell that the plain loop would run and this would not."""
    linears = (cell.input_to_hidden, cell.hidden_to_hidden)
    return not {"project", "gates", "update", "step"} & vars(cell).keys() and all(
        type(linear) is nn.Linear  # a parametrization makes it another class
        and not linear._forward_hooks
        and not linear._forward_pre_hooks
        and not linear._backward_hooks
        and not linear._backward_pre_hooks
        for linear in linears
    )


def _eager(tensors: list[Tensor]) -> bool:
    """Whether these are plain tensors of one dtype, outside every transform and tracer."""
    first = tensors[0]
    return (
        not torch.compiler.is_compiling()
        and not torch._C._get_tracing_state()
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()  # as when operations are counted
        and all(
            type(tensor) in (Tensor, nn.Parameter)
            and tensor.dtype == first.dtype
            and not tensor.is_neg()  # a view that says so instead of changing the numbers
            and forward_ad.unpack_dual(tensor).tangent is None
            for tensor in tensors
        )
    )


@dataclass(frozen=True)
class Tape:
    """The buffers of one walk along a sequence, cut into blocks.

    Where no gradient will be asked for, one block of ``gates`` serves all, and one step of ``c``
    and ``kept`` stands in the place of all: less memory, and it stays in the cache.

    Attributes:
        input, d_input: x, (T, B, I), and on the way back, if wanted, room for its gradient.
        h, c: the states before the first step and after each, (T+1, B, H); c is empty but for an
            LSTM. Walking in reverse, the first step is the last.
        gates, kept: see :class:`~scratch_cells.backends.torch_backend.Block`.
        steps: how many steps make a block.
        keep: whether a gradient will be asked for.
        reverse: whether the walk goes from the last step to the first.
    """

    input: Tensor
    d_input: Tensor | None
    h: Tensor
    c: Tensor
    gates: Tensor
    kept: Tensor
    steps: int
    keep: bool
    reverse: bool

    @classmethod
    def blank(
        cls, derivation: type[Derivation], input: Tensor, h_0: Tensor, keep: bool, reverse: bool
    ) -> Self:
        time = len(input)
        batch, size = h_0.shape
        steps = time
        if derivation.in_blocks:
            steps = min(time, max(1, BLOCK // max(1, batch * size * derivation.gate_count)))
        rows = time if keep else steps

        def buffer(rows: int, count: int = 1) -> Tensor:
            return RESERVE.empty(rows, batch, count * size, like=h_0)

        def buffer_if_kept(rows: int) -> Tensor:
            return buffer(rows) if keep else buffer(1).expand(rows, -1, -1)

        h = buffer(time + 1)
        return cls(
            input=input,
            d_input=None,
            h=h,
            c=buffer_if_kept(time + 1 if derivation.carries_cell_state else 0),
            gates=(
                _after(h, reverse)
                if derivation.gates_are_states
                else buffer(rows, derivation.gate_count)
            ),
            kept=buffer_if_kept(rows if derivation.keeps else 0),
            steps=steps,
            keep=keep,
            reverse=reverse,
        )

    def begin(self, state: tuple[Tensor, ...]) -> None:
        """Write down the state before the first step of the walk."""
        for buffer, part in zip((self.h, self.c), state, strict=False):
            buffer[-1 if self.reverse else 0] = part

    def outputs(self) -> Tensor:
        """h after each step."""
        return _after(self.h, self.reverse)

    def final(self) -> list[Tensor]:
        """The state after the last step of the walk."""
        last = 0 if self.reverse else -1
        return [buffer[last].clone() for buffer in (self.h, self.c) if len(buffer)]

    def blocks(self) -> list[tuple[slice, Block]]:
        """Where in the sequence each block lies, and the block, in the order of the walk."""
        time = len(self.h) - 1
        spans = [slice(a, min(a + self.steps, time)) for a in range(0, time, self.steps)]
        return [(span, self._block(span)) for span in (spans[::-1] if self.reverse else spans)]

    def _block(self, span: slice) -> Block:
        length = span.stop - span.start
        one_for_all = len(self.gates) < len(self.h) - 1
        here = slice(0, length) if one_for_all else span
        later = slice(span.start + 1, span.stop + 1)
        before, after = (later, span) if self.reverse else (span, later)
        order = list(range(length))
        return Block(
            order=order[::-1] if self.reverse else order,
            input=self.input[span],
            d_input=None if self.d_input is None else self.d_input[span],
            gates=self.gates[here],
            h_before=self.h[before],
            h_after=self.h[after],
            c_before=self.c[before],
            c_after=self.c[after],
            kept=self.kept[here],
            keep=self.keep,
        )


def _after(h: Tensor, reverse: bool) -> Tensor:
    """Without the state before the first step of the walk: (T+1, B, H) -> (T, B, H)."""
    return h[:-1] if reverse else h[1:]


class ThroughTime(torch.autograd.Function):
    """A cell along a sequence, as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: Cell,
        derivation: type[Derivation],
        keep: bool,
        reverse: bool,
        input: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None,
        b_hh: Tensor | None,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        by_hand = derivation(w_ih, w_hh, _or_zero(b_ih, w_hh), _or_zero(b_hh, w_hh), len(input))
        tape = Tape.blank(derivation, input, state[0], keep, reverse)
        tape.begin(state)
        for _, block in tape.blocks():
            by_hand.project(block)
            by_hand.forward(block)
        if not keep:
            return tape.outputs(), *tape.final()
        ctx.cell, ctx.derivation, ctx.reverse, ctx.steps = cell, derivation, reverse, tape.steps
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            input, w_ih, w_hh, b_ih, b_hh, *state, tape.h, tape.c, tape.gates, tape.kept
        )
        # A copy: the caller may change the outputs in place, the gradient needs them as they are.
        outputs = tape.outputs()
        return RESERVE.empty(*outputs.shape, like=outputs).copy_(outputs), *tape.final()

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor | None, *d_final: Tensor | None) -> Any:
        *given, h, c, gates, kept = ctx.saved_tensors
        # The gradient will itself be differentiated, or many are asked for at once by vmap.
        if torch.is_grad_enabled() or _batched(d_outputs, *d_final):
            return *[None] * 4, *_through_the_plain_loop(ctx, given, (d_outputs, *d_final))
        input, w_ih, w_hh, b_ih, b_hh, *state = given
        biases = _or_zero(b_ih, w_hh), _or_zero(b_hh, w_hh)
        by_hand = ctx.derivation(w_ih, w_hh, *biases, len(input))
        d_input = RESERVE.empty(*input.shape, like=h) if ctx.needs_input_grad[4] else None
        tape = Tape(input, d_input, h, c, gates, kept, ctx.steps, True, ctx.reverse)
        d_state = [
            torch.zeros_like(part) if d_part is None else d_part.clone()
            for part, d_part in zip(state, d_final, strict=True)
        ]
        d_w_ih, d_w_hh = by_hand.zeros_for(w_ih), by_hand.zeros_for(w_hh)
        columns = by_hand.gradient_count * w_hh.size(1)
        d_b = w_hh.new_zeros(columns)
        gradients = RESERVE.empty(tape.steps, h.size(1), columns, like=h)
        for span, block in reversed(tape.blocks()):
            d = gradients[: len(block.order)]
            by_hand.backward(block, None if d_outputs is None else d_outputs[span], d_state, d)
            by_hand.write_d_input(block, d)
            by_hand.add_to_weights(block, d, d_w_ih, d_w_hh)
            d_b += d.sum((0, 1))
        return (
            *[None] * 4,
            d_input,
            _row_by_row(d_w_ih),
            by_hand.rows_of_product(_row_by_row(d_w_hh)),
            None if b_ih is None else by_hand.of_projection(d_b),
            None if b_hh is None else by_hand.rows_of_product(by_hand.of_product(d_b)),
            *d_state,
        )


def _batched(*gradients: Tensor | None) -> bool:
    """Whether vmap, torch.func's or the one inside torch.autograd, runs over the backward pass."""
    functorch = torch._C._functorch
    return any(
        functorch.is_legacy_batchedtensor(d) or functorch.is_batchedtensor(d)
        for d in gradients
        if d is not None
    )


def _or_zero(bias: Tensor | None, w_hh: Tensor) -> Tensor:
    return w_hh.new_zeros(w_hh.size(0)) if bias is None else bias


def _row_by_row(d_w: Tensor) -> Tensor:
    """The same numbers, in memory as weights are."""
    laid_out = d_w.stride() == (d_w.size(1), 1)
    return d_w if laid_out else d_w.clone(memory_format=torch.contiguous_format)


class _PlainLoop(nn.Module):
    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, input: Tensor, state: State, reverse: bool) -> tuple[Tensor, ...]:
        outputs, final = unroll(self.cell, input, state, None, reverse)
        return outputs, *parts(final)


def _through_the_plain_loop(
    ctx: Any, given: list[Tensor | None], d_returned: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """The gradient once more by autograd, which can differentiate it again."""
    with torch.enable_grad():
        # Views, so that a tensor given twice (a tied bias, say) is told apart by its place.
        views = [None if tensor is None else tensor.view_as(tensor) for tensor in given]
        weights = {
            f"cell.{name}": view
            for name, view in zip(WEIGHTS, views[1:5], strict=True)
            if view is not None
        }
        input, state = views[0], whole([part for part in views[5:] if part is not None])
        returned = functional_call(
            _PlainLoop(ctx.cell), weights, (input, state, ctx.reverse), tie_weights=False
        )
    outputs, d_outputs = zip(
        *((r, d) for r, d in zip(returned, d_returned, strict=True) if d is not None), strict=True
    )
    needed = ctx.needs_input_grad[4:]
    wanted = [view for view, need in zip(views, needed, strict=True) if view is not None and need]
    gradients = iter(
        torch.autograd.grad(
            outputs, wanted, d_outputs, create_graph=torch.is_grad_enabled(), allow_unused=True
        )
    )
    return [next(gradients) if need else None for need in needed]
