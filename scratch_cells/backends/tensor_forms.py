"""Recognize tensors of the same form as tensors that were checked before.

A sequence of one time step takes a few microseconds of arithmetic, and each property of a tensor
takes about 0.1 to read from Python. torch has a test of many tensors in one call of C++, which
``torch.compile`` uses. It is private; if it is missing, the properties are read one by one in every
call.
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

MAX_FORMS = 256
"""Forms that are kept. A program with more of them, such as one for each length, begins again."""

Metadata = tuple[torch.Size, torch.dtype, torch.device]


def metadata_of(tensor: Tensor) -> Metadata:
    """Its shape, dtype and device."""
    return tensor.shape, tensor.dtype, tensor.device


def guards_of(tensors: list[Tensor]) -> Any:
    """torch's test of other tensors by the form of these, or None if there is no such test."""
    try:
        from torch._C._dynamo.guards import TensorGuards

        guards: Any = TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None)
        return guards if guards.check(*tensors) is True else None
    except (ImportError, TypeError, AttributeError):
        return None


class TensorForm:
    """What decides whether tensors are plain tensors of the expected shapes.

    That is, of each tensor: its class, dispatch keys, dtype, device, shape and strides, and whether
    it requires a gradient; and that no two of them are the same object.

    Args:
        tensors: plain tensors, checked by the caller.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        self.metadata = [metadata_of(tensor) for tensor in tensors]
        self.are_contiguous = all(tensor.is_contiguous() for tensor in tensors)
        self._bytes = [_spanned_bytes(tensor) for tensor in tensors]
        guards = guards_of(tensors)
        self.is_form_of: Callable[..., bool] = _is_unknown if guards is None else guards.check
        """Whether as many other tensors have this form; False also if that is not certain."""
        self.with_more: dict[Hashable, TensorForm] = {}
        """Forms of these tensors and more, by keys of the caller."""

    def matches(self, tensors: list[Tensor]) -> bool:
        """Whether other tensors have this form, and all of their elements are in their storages.

        A storage may have been resized, and then it no longer has all elements of its tensors.
        """
        if len(tensors) != len(self.metadata) or not self.is_form_of(*tensors):
            return False
        for tensor, size in zip(tensors, self._bytes, strict=True):
            offset = tensor.storage_offset()
            end = size + offset * tensor.itemsize if offset else size
            if end > tensor.untyped_storage().nbytes():
                return False
        return True


def _is_unknown(*tensors: Tensor) -> bool:
    return False


def _spanned_bytes(tensor: Tensor) -> int:
    """Bytes from the first element of a tensor to the end of the last one."""
    if not tensor.numel():
        return 0
    sizes_and_strides = zip(tensor.shape, tensor.stride(), strict=True)
    last = sum((size - 1) * stride for size, stride in sizes_and_strides)
    return int(last + 1) * tensor.itemsize


Forms = dict[Hashable, TensorForm]
"""Forms by keys of the caller, each with the number of tensors. The last form of a key is kept."""


def add_form(forms: Forms, key: Hashable, tensors: list[Tensor]) -> TensorForm:
    """Add the form of plain tensors, in the place of another form with this key."""
    if len(forms) >= MAX_FORMS:
        forms.clear()
    forms[key] = form = TensorForm(tensors)
    return form


def form_of(forms: Forms, key: Hashable, tensors: list[Tensor]) -> TensorForm:
    """The form of plain tensors, added if necessary."""
    form = forms.get(key)
    if form is None or not form.is_form_of(*tensors):
        return add_form(forms, key, tensors)
    return form
