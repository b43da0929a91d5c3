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
from scratch_cells.backends.tensor_forms import (
    Forms,
    Metadata,
    TensorForm,
    add_form,
    form_of,
    metadata_of,
)

Backward = Callable[[Any, tuple[Any, ...], tuple[Tensor | None, ...]], list[Tensor | None]]
"""ctx, what was saved, the gradients of what was returned -> the gradients of the operands."""


def save_for_backward(
    ctx: Any,
    operands: Sequence[Tensor | None],
    values: Sequence[Tensor | None],
    buffers: list[Tensor | None],
    returned: list[Metadata],
    form: TensorForm | None = None,
) -> None:
    """Save what ``run_backward`` needs.

    Args:
        ctx: the context of the autograd function.
        operands: its operands.
        values: what its kernel has read for each of them.
        buffers: what its kernel has saved.
        returned: the metadata of what it returns.
        form: the form of what is saved, if it is known.
    """
    ctx.set_materialize_grads(False)
    ctx.dtypes = [None if operand is None else operand.dtype for operand in operands]
    computed = [
        index
        for index, operand in enumerate(operands)
        if operand is not None and operand.requires_grad and not operand.is_leaf
    ]
    read = *values[:FIRST_BIAS], *values[AFTER_BIASES:]
    saved: list[Tensor | None] = [value.detach() for value in read if value is not None]
    ctx.computed, ctx.operand_count = computed, len(saved)
    saved += buffers
    ctx.saved_count = len(saved)
    if form is None:
        present = [tensor for tensor in saved if tensor is not None]
        key = ctx.kind, len(present), saved[0].shape, saved[2].shape  # type: ignore[union-attr]  # given
        form = form_of(SAVED_FORMS, key, present)
    ctx.saved_as = form
    ctx.save_for_backward(*saved, *[operands[index] for index in computed])
    ctx.returned_as = returned


SAVED_FORMS: Forms = {}
"""The forms of saved tensors."""


def run_backward(
    ctx: Any, d_returned: tuple[Tensor | None, ...], backward: Backward
) -> list[Tensor | None]:
    """The gradients of the operands: by ``backward`` if it is exact, else by the reference loop."""
    all_saved = ctx.saved_tensors
    saved, computed = all_saved[: ctx.saved_count], all_saved[ctx.saved_count :]
    if any(d is not None and d.is_neg() for d in d_returned):
        d_returned = tuple(None if d is None else d.resolve_neg() for d in d_returned)
    if _is_exact_backward(ctx, saved, d_returned):
        if ctx.precision is None:
            return backward(ctx, saved, d_returned)
        with without_autocast(ctx.precision):
            return backward(ctx, saved, d_returned)
    operands = saved[: ctx.operand_count]
    _check_unpacked(ctx, operands)
    return gradient_by_reference_loop(ctx, operands, computed, d_returned)


FIRST_BIAS, AFTER_BIASES = 3, 5
"""The indices of b_ih and of what follows b_hh. The gradient does not depend on their values."""


def _is_exact_backward(
    ctx: Any, saved: tuple[Tensor | None, ...], d_returned: tuple[Tensor | None, ...]
) -> bool:
    """Whether the kernel computes the gradient that autograd computes for the reference loop.

    It does not if the gradient is itself to be differentiated, if a mode or transform such as vmap
    is active, or if a hook has replaced a saved tensor or a gradient with one of another kind.
    """
    if torch.is_grad_enabled() or context_problem() is not None:
        return False
    present = [tensor for tensor in saved if tensor is not None]
    present += [d for d in d_returned if d is not None]
    given = tuple([d is not None for d in d_returned])
    form = ctx.saved_as.with_more.get(given)
    ctx.are_contiguous = False  # unless that is known
    if form is not None and form.matches(present):
        ctx.are_contiguous = form.are_contiguous
        return True
    if not _are_as_saved(present[: len(ctx.saved_as.metadata)], ctx.saved_as):
        return False
    for d, expected in zip(d_returned, ctx.returned_as, strict=True):
        if d is not None and (_is_batched(d) or not _is_as_expected(d, expected)):
            return False
    add_form(ctx.saved_as.with_more, given, present)
    return True


def _are_as_saved(tensors: list[Tensor], form: TensorForm) -> bool:
    if form.matches(tensors):
        return True
    return all(map(_is_as_expected, tensors, form.metadata))


def _is_as_expected(tensor: Tensor, expected: Metadata) -> bool:
    shape, dtype, device = expected
    if tensor.is_cpu and device.type == "cpu":
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
    for operand, expected in zip(operands, ctx.saved_as.metadata, strict=False):
        assert operand is not None
        if metadata_of(operand) != expected:
            shape, dtype, device = metadata_of(operand)
            raise RuntimeError(
                f"a saved tensor was unpacked with shape {tuple(shape)}, {dtype}, {device}, but it "
                f"was saved with shape {tuple(expected[0])}, {expected[1]}, {expected[2]}: "
                "the hooks of torch.autograd.graph.saved_tensors_hooks must restore it"
            )
