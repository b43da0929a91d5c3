"""Autocast's cache of rounded weights, from which the reference loop takes them.

Inside of an ``autocast`` block torch rounds a weight once, at its first use, and keeps the rounded
copy until the block ends. So a weight that is changed inside of the block has no effect before. A
kernel must multiply by the same copy, and it must fill the cache where the loop would.

torch has no function that returns a copy of the cache. But every operation that autocast rounds its
arguments for uses it, and one of them returns its argument: PReLU of slope 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from scratch_cells.backends.cell_kernel import CellLayout
from scratch_cells.backends.eligibility import Operands, is_plain_cpu_tensor

H_0 = 5
"""The index of h_0 among the operands. Before it are x, W_ih, W_hh, b_ih and b_hh: factors."""


@dataclass(frozen=True)
class Autocast:
    """What autocast makes of the operands of a call.

    Attributes:
        dtype: the dtype to which it rounds.
        operands: the operands for the graph of autograd. A weight is detached if the copy in the
            cache is, as in the reference loop.
        values: the operands for the kernel: x, the weights and the biases are rounded.
    """

    dtype: torch.dtype
    operands: Operands
    values: Operands


def apply_autocast(layout: CellLayout, operands: Operands, dtype: torch.dtype) -> Autocast | None:
    """Round the operands as the reference loop does.

    Returns:
        None if no kernel can compute the loop's result: a copy in the cache has another dtype or
        shape than it would have now, or h_0 has changed since it was rounded. The loop uses both
        the copy of h_0 and h_0 itself.
    """
    graph, values = list(operands), list(operands)
    for index, operand in enumerate(operands):
        is_factor = index < H_0 or (layout.has_projection and index == len(operands) - 1)
        if operand is None or not (is_factor or index == H_0):
            continue
        cached = _copy_in_cache(operand, dtype) if _is_cached(operand) else None
        rounded = operand.detach().to(dtype) if cached is None else cached.detach()
        if not is_plain_cpu_tensor(rounded, operand.shape, dtype):
            return None
        if is_factor:
            values[index] = rounded
        elif cached is not None and not torch.equal(rounded, operand.detach().to(dtype)):
            return None
        if cached is not None and torch.is_grad_enabled() and not cached.requires_grad:
            graph[index] = operand.detach()
    return Autocast(dtype, graph, values)


def for_graph_and_kernel(
    operands: Operands, autocast: Autocast | None
) -> tuple[Operands, Operands]:
    """The operands for the graph of autograd, and those for the kernel."""
    return (operands, operands) if autocast is None else (autocast.operands, autocast.values)


def _is_cached(tensor: Tensor) -> bool:
    """Whether torch keeps a rounded copy: the condition of ``at::autocast::cached_cast``."""
    return (
        tensor.requires_grad
        and tensor.dtype is torch.float32
        and tensor.is_leaf
        and not tensor._is_view()
        and torch.is_autocast_cache_enabled()
    )


def _copy_in_cache(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The values of the rounded copy, which is added to the cache if there is none."""
    try:
        return torch.prelu(tensor, torch.ones(1, dtype=dtype, device="cpu"))
    except RuntimeError:  # the copy has another dtype or device; the loop raises, too
        return tensor
