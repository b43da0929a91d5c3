"""The gradient of a sequence by autograd, from the reference loop.

It can be differentiated again, and every operation of the backward pass is visible to modes and
transforms. The outputs are computed once more, with the equations of the cells as this package
defines them: a method, hook or mode that was not there in the forward pass has no effect.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from scratch_cells.cell import Cell, parts, whole
from scratch_cells.gru import GRUCell
from scratch_cells.lstm import LSTMCell
from scratch_cells.rnn import RNNCell
from scratch_cells.unroll import unroll

EQUATIONS = ("project", "step", "gates", "update", "activation", "Gates")
"""What a cell defines of its computation."""


def _as_defined(cell_class: type[Cell], **attributes: Any) -> type:
    """A class with the equations of a cell as they are now, which is not a module."""
    equations = {n: getattr(cell_class, n) for n in EQUATIONS if hasattr(cell_class, n)}
    return type(cell_class.__name__, (), equations | attributes)


_LSTM = _as_defined(LSTMCell)


class _ProjectedLSTM(_LSTM):  # type: ignore[misc, valid-type]  # made by a function
    """h = W_hr (o ⊙ tanh(c)), as in ``ProjectedLSTMCell``."""

    def update(self, gates: Any, state: Any) -> Any:
        u, c = super().update(gates, state)
        return self.hidden_to_projection(u), c


CELLS = {
    "rnn_tanh": _as_defined(RNNCell, nonlinearity="tanh"),
    "rnn_relu": _as_defined(RNNCell, nonlinearity="relu"),
    "gru": _as_defined(GRUCell),
    "lstm": _LSTM,
    "lstm_projected": _ProjectedLSTM,
}
"""The kinds of cells that have kernels, as they were when this module was imported."""

linear = F.linear


def gradient_by_reference_loop(
    ctx: Any,
    saved: Sequence[Tensor],
    computed: Sequence[Tensor],
    d_returned: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients of x, W_ih, W_hh, b_ih, b_hh, the parts of the state and W_hr.

    Args:
        ctx: the context of ``BPTTFunction``.
        saved: x, W_ih, W_hh, the parts of the state and W_hr as they were in the forward pass;
            without the parts if they were zeros that no tensor held.
        computed: the operands of the indices ``ctx.computed``.
        d_returned: gradients of the outputs and of the parts of the final state.
    """
    input, w_ih, w_hh, *state = saved
    layout = ctx.kernel_class.layout
    size = 1 + layout.has_cell_state + layout.has_projection
    needed = ctx.needs_input_grad[-5 - size :]
    device = input.device.type
    with (
        _disable_current_modes(),
        torch.enable_grad(),
        torch.autocast(device, ctx.autocast, enabled=ctx.autocast is not None),
    ):
        initial: list[Any] = list(state) or [None] * size  # None for zeros
        values = [input, w_ih, w_hh, *_biases(ctx, w_hh), *initial]
        originals = _originals(ctx, [v is not None for v in values], computed, needed)
        leaves = [
            value if original is None or value is None else _connected(original, value)
            for original, value in zip(originals, values, strict=True)
        ]
        input, w_ih, w_hh, b_ih, b_hh, *state = leaves
        # (B, T, I) may have been read as (T, B, I).
        input = input.reshape(*ctx.lead, input.size(-1))
        cell = CELLS[ctx.kind]()
        cell.input_to_hidden = partial(linear, weight=w_ih, bias=b_ih)
        cell.hidden_to_hidden = partial(linear, weight=w_hh, bias=b_hh)
        if layout.has_projection:
            *state, w_hr = state
            cell.hidden_to_projection = partial(linear, weight=w_hr)
        if state[0] is None:
            state = [input.new_zeros(input.size(1), w_hh.size(1)) for _ in state]
        outputs, final = unroll(cell, input, whole(state), ctx.batch_sizes, ctx.reverse)
    returned, d_returned = zip(
        *(
            (r, d if d.shape == r.shape else d.reshape(r.shape))  # (1, B, size) or (B, T, size)
            for r, d in zip((outputs, *parts(final)), d_returned, strict=True)
            if d is not None
        ),
        strict=True,
    )
    gradients = iter(
        torch.autograd.grad(
            returned,
            [leaf for leaf, need in zip(leaves, needed, strict=True) if leaf is not None and need],
            d_returned,
            create_graph=torch.is_grad_enabled(),
            allow_unused=True,
        )
    )
    return [next(gradients) if need else None for need in needed]


def _biases(ctx: Any, w_hh: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """b_ih and b_hh of the same sums as in the forward pass; the caller may have changed them."""
    b_ih_dtype, b_hh_dtype = ctx.dtypes[3:5]
    rows = w_hh.size(0)
    projection_bias, b_hn = ctx.biases[:rows], ctx.biases[rows:]
    b_hh = torch.zeros_like(projection_bias)
    if ctx.kernel_class.layout.resets_candidate:
        b_hh[2 * w_hh.size(1) :] = b_hn
    if b_ih_dtype is None:
        return None, None if b_hh_dtype is None else (b_hh + projection_bias).to(b_hh_dtype)
    return projection_bias.to(b_ih_dtype), None if b_hh_dtype is None else b_hh.to(b_hh_dtype)


def _originals(
    ctx: Any, given: Sequence[bool], computed: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    """The operands of the forward pass that need a gradient, else None.

    A leaf is the variable of the next node of the graph; one node is listed for each tensor.
    """
    nodes = iter(ctx.next_functions)
    by_index = dict(zip(ctx.computed, computed, strict=True))
    originals: list[Tensor | None] = []
    for index, is_tensor in enumerate(given):
        node = next(nodes)[0] if is_tensor else None
        leaf = getattr(node, "variable", None)
        originals.append(by_index.get(index, leaf) if needed[index] else None)
    return originals


def _connected(original: Tensor, value: Tensor) -> Tensor:
    """The value as a function of the operand, and a tensor of its own for each operand."""
    connected: Tensor = _Value.apply(original, value)
    return connected


class _Value(torch.autograd.Function):
    """(operand, value) -> value. The gradient with respect to the operand is passed through."""

    generate_vmap_rule = True

    @staticmethod
    def forward(original: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Any:
        return d, None
