"""Arrays and tensors in nested containers, as plain functions take and return them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

ARRAYS = (np.ndarray, np.floating, Tensor)


def arrays_in(nested: Any) -> Iterator[Any]:
    """The arrays and tensors in tuples, lists, dicts and dataclasses."""
    if isinstance(nested, ARRAYS):
        yield nested
    else:
        for part in _parts(nested):
            yield from arrays_in(part)


def map_arrays(nested: Any, function: Callable[[Any], Any]) -> Any:
    """The same nesting with ``function`` applied to each array or tensor."""
    if isinstance(nested, ARRAYS):
        return function(nested)
    if isinstance(nested, dict):
        return {key: map_arrays(part, function) for key, part in nested.items()}
    if isinstance(nested, tuple | list):
        parts = [map_arrays(part, function) for part in nested]
        return type(nested)(*parts) if hasattr(nested, "_fields") else type(nested)(parts)
    if dataclasses.is_dataclass(nested) and not isinstance(nested, type):
        names = [field.name for field in dataclasses.fields(nested)]
        changed = {name: map_arrays(getattr(nested, name), function) for name in names}
        return dataclasses.replace(nested, **changed)
    return nested


def _parts(nested: Any) -> list[Any]:
    if isinstance(nested, dict):
        return list(nested.values())
    if isinstance(nested, tuple | list):
        return list(nested)
    if dataclasses.is_dataclass(nested) and not isinstance(nested, type):
        return [getattr(nested, field.name) for field in dataclasses.fields(nested)]
    return []
