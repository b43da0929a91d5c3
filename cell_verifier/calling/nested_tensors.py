"""Flatten and rebuild nested tuples, lists, dicts, named tuples and dataclasses of tensors."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor


def leaves(nested: Any) -> list[Tensor]:
    """The tensors in the nesting, from left to right."""
    if isinstance(nested, Tensor):
        return [nested]
    return [leaf for part in _parts(nested) for leaf in leaves(part)]


def rebuild(template: Any, values: Sequence[Tensor]) -> Any:
    """The nesting of ``template`` with other tensors in it."""
    return _rebuild(template, iter(values))


def _parts(nested: Any) -> list[Any]:
    if isinstance(nested, dict):
        return list(nested.values())
    if isinstance(nested, tuple | list):
        return list(nested)
    if dataclasses.is_dataclass(nested):
        return [getattr(nested, field.name) for field in dataclasses.fields(nested)]
    return []


def _rebuild(template: Any, values: Iterator[Tensor]) -> Any:
    if isinstance(template, Tensor):
        return next(values)
    if isinstance(template, dict):
        return {key: _rebuild(part, values) for key, part in template.items()}
    if isinstance(template, tuple | list):
        parts = [_rebuild(part, values) for part in template]
        return type(template)(*parts) if hasattr(template, "_fields") else type(template)(parts)
    if dataclasses.is_dataclass(template) and not isinstance(template, type):
        names = [field.name for field in dataclasses.fields(template)]
        parts = [_rebuild(getattr(template, name), values) for name in names]
        return dataclasses.replace(template, **dict(zip(names, parts, strict=True)))
    return template
