"""Whether two values are the same, and the gradients of a value."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-9
"""Relative to the largest right element, or to 1. Everything is computed in float64."""


def tensors_of(value: Any) -> list[Tensor]:
    """All tensors in a value, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in tensors_of(part)]
    return []


def same_values(value: Any, right: Any) -> bool:
    """Whether two values agree, without their gradients."""
    if isinstance(right, Tensor):
        return isinstance(value, Tensor) and _same_tensors(value, right)
    if isinstance(right, dict):
        return (
            isinstance(value, dict)
            and value.keys() == right.keys()
            and all(same_values(value[key], part) for key, part in right.items())
        )
    if isinstance(right, tuple | list):
        return (
            isinstance(value, tuple | list)
            and len(value) == len(right)
            and all(map(same_values, value, right))
        )
    if isinstance(right, float) and isinstance(value, int | float):
        return abs(value - right) <= TOLERANCE * max(1.0, abs(right))
    if isinstance(right, bool | int | str | torch.Size | type(None)):
        return bool(type(value) is type(right) and value == right)
    # Modules and functions: what they compute is compared where it is used.
    return type(value).__name__ == type(right).__name__


def _same_tensors(value: Tensor, right: Tensor) -> bool:
    if value.shape != right.shape or value.dtype != right.dtype:
        return False
    if value.numel() == 0:
        return True
    value, right = value.detach(), right.detach()
    if not right.is_floating_point():
        return bool(torch.equal(value, right))
    limit = TOLERANCE if right.dtype == torch.float64 else 1e-5
    scale = max(1.0, float(right.abs().max()))
    return bool(float((value - right).abs().max()) <= limit * scale)


def gradients_of(value: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of a fixed random combination of a value's elements; zeros if there are none.

    Args:
        value: a tensor, or several in tuples and lists.
        inputs: the leaves with respect to which the gradients are computed.
    """
    generator = torch.Generator().manual_seed(0)
    terms = [
        (tensor * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)).sum()
        for tensor in tensors_of(value)
        if tensor.is_floating_point()
    ]
    total = torch.stack(terms).sum() if terms and inputs else None
    if total is None or not total.requires_grad:
        return [torch.zeros_like(each) for each in inputs]
    found = torch.autograd.grad(total, inputs, retain_graph=True, allow_unused=True)
    pairs = zip(found, inputs, strict=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in pairs]


def as_leaf(value: Any) -> Any:
    """A copy of an argument: a float tensor as a leaf that requires a gradient."""
    if isinstance(value, Tensor):
        leaf = value.detach().clone()
        return leaf.requires_grad_(leaf.is_floating_point())
    if isinstance(value, tuple | list):
        return type(value)(map(as_leaf, value))
    if isinstance(value, dict):
        return {key: as_leaf(part) for key, part in value.items()}
    return value
