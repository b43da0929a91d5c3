"""What an autograd function over a sequence saves, and what it checks before its backward pass.

A kernel reads memory, so every tensor that autograd returns must again have the shape, dtype and
device with which it was saved.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from scratch_cells.backends.eligibility import (
    context_problem,
    is_plain_cpu_tensor,
    is_plain_tensor,
)
from scratch_cells.backends.precision import without_autocast
from scratch_cells.backends.reference_gradient import gradient_by_reference_loop

Backward = Callable[[Any, tuple[Any, ...], tuple[Tensor | None, ...]], list[Tensor | None]]
"""ctx, what was saved, the gradients of what was returned -> the gradients of the operands."""


def save_for_backward(
    ctx: Any,
    operands: Sequence[Tensor | None],
    values: Sequence[Tensor | None],
    buffers: list[Tensor | None],
    returned: list[Tensor],
) -> None:
    """Save what ``run_backward`` needs.

    Args:
        ctx: the context of the autograd function.
        operands: its operands.
        values: what its kernel has read for each of them.
        buffers: what its kernel has saved.
        returned: what it returns.
    """
    ctx.dtypes = [None if operand is None else operand.dtype for operand in operands]
    ctx.set_materialize_grads(False)
    saved: list[Tensor | None] = [
        value.detach()
        for index, value in enumerate(values)
        if value is not None and index not in BIASES
    ]
    ctx.operand_count = len(saved)
    saved += buffers
    ctx.saved_as = [None if tensor is None else _metadata(tensor) for tensor in saved]
    ctx.computed = [
        index
        for index, operand in enumerate(operands)
        if operand is not None and operand.requires_grad and not operand.is_leaf
    ]
    ctx.save_for_backward(*saved, *(operands[index] for index in ctx.computed))
    ctx.returned_as = [_metadata(tensor) for tensor in returned]


def run_backward(
    ctx: Any, d_returned: tuple[Tensor | None, ...], backward: Backward
) -> list[Tensor | None]:
    """The gradients of the operands: by ``backward`` if it is exact, else by the reference loop."""
    all_saved = ctx.saved_tensors
    saved, computed = all_saved[: len(ctx.saved_as)], all_saved[len(ctx.saved_as) :]
    d_returned = tuple(d.resolve_neg() if d is not None and d.is_neg() else d for d in d_returned)
    if _is_exact_backward(ctx, saved, d_returned):
        with without_autocast(ctx.precision):
            return backward(ctx, saved, d_returned)
    operands = saved[: ctx.operand_count]
    _check_unpacked(ctx, operands)
    return gradient_by_reference_loop(ctx, operands, computed, d_returned)


BIASES = (3, 4)
"""The indices of the biases among the operands. The gradient does not depend on their values."""

Metadata = tuple[torch.Size, torch.dtype, torch.device]


def _metadata(tensor: Tensor) -> Metadata:
    return tensor.shape, tensor.dtype, tensor.device


def _is_exact_backward(
    ctx: Any, saved: tuple[Tensor | None, ...], d_returned: tuple[Tensor | None, ...]
) -> bool:
    """Whether the kernel computes the gradient that autograd computes for the reference loop.

    It does not if the gradient is itself to be differentiated, if a mode or transform such as vmap
    is active, or if a hook has replaced a saved tensor or a gradient with one of another kind.
    """
    return (
        not torch.is_grad_enabled()
        and context_problem() is None
        and all(map(_is_as_expected, saved, ctx.saved_as))
        and all(
            d is None or (not _is_batched(d) and _is_as_expected(d, expected))
            for d, expected in zip(d_returned, ctx.returned_as, strict=True)
        )
    )


def _is_as_expected(tensor: Tensor | None, expected: Metadata | None) -> bool:
    if tensor is None or expected is None:
        return tensor is None and expected is None
    shape, dtype, device = expected
    if device.type == "cpu":
        return is_plain_cpu_tensor(tensor, shape, dtype)
    return (
        is_plain_tensor(tensor)
        and tensor.dtype is dtype
        and tensor.shape == shape
        and tensor.device == device
    )


def _is_batched(gradient: Tensor) -> bool:
    """Whether vmap, of torch.func or of torch.autograd, runs the backward pass."""
    functorch = torch._C._functorch
    return functorch.is_legacy_batchedtensor(gradient) or functorch.is_batchedtensor(gradient)


def _check_unpacked(ctx: Any, operands: Sequence[Tensor | None]) -> None:
    """Check that autograd returns the operands as they were saved.

    Raises:
        RuntimeError: a hook for saved tensors did not restore one of them.
    """
    for operand, expected in zip(operands, ctx.saved_as, strict=False):
        assert operand is not None
        if _metadata(operand) != expected:
            shape, dtype, device = _metadata(operand)
            raise RuntimeError(
                f"a saved tensor was unpacked with shape {tuple(shape)}, {dtype}, {device}, but it "
                f"was saved with shape {tuple(expected[0])}, {expected[1]}, {expected[2]}: "
                "the hooks of torch.autograd.graph.saved_tensors_hooks must restore it"
            )
