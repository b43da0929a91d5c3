"""A plain function, or an object with arrays as attributes, as a module with parameters.

With this module, the phases of the verifier need no case of their own for such code.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cell_verifier.functions.nested_arrays import arrays_in, map_arrays

HEAD_SEED = 6
"""Seed of the weights of an output layer, which are not compared."""


@dataclass(frozen=True)
class Weight:
    """An array that the code takes.

    Attributes:
        name: its name, a key of a dictionary included: ``params.Wf``.
        shape: its shape, with axes of size 1.
        is_head: whether it belongs to an output layer, which is not compared.
    """

    name: str
    shape: tuple[int, ...]
    is_head: bool = False

    @property
    def key(self) -> str:
        """Its name in the module."""
        return "".join(each if each.isalnum() else "_" for each in self.name)


@dataclass(frozen=True)
class Code:
    """The user's code.

    Attributes:
        call: calls it with input and state, and the weights by name.
        signature: of the arguments for input and state.
        weights: the arrays that it takes.
        numpy: whether it takes NumPy arrays.
        samples_last: whether the axes are reversed: x (I, B) or (I, B, T), state (H, B).
    """

    call: Callable[[inspect.BoundArguments, Mapping[str, Any]], Any]
    signature: inspect.Signature
    weights: Sequence[Weight]
    numpy: bool
    samples_last: bool = False


class FunctionModule(nn.Module):
    """The user's code with its weights as parameters; axes of size 1 are removed.

    Attributes:
        gives_gradients: False for NumPy code, which is compared on its values alone.
    """

    def __init__(self, code: Code) -> None:
        super().__init__()
        self.code = code
        self.gives_gradients = not code.numpy
        generator = torch.Generator().manual_seed(HEAD_SEED)
        for weight in code.weights:
            if weight.is_head:
                drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
                self.register_buffer(weight.key, drawn)
            else:
                size = [n for n in weight.shape if n != 1]
                self.register_parameter(weight.key, nn.Parameter(torch.zeros(size)))

    def run(self, *data: Any, **named: Any) -> Any:
        """Call the user's code with tensors; what it returns are tensors, without a cache."""
        given = self.code.signature.bind(*data, **named)
        given.arguments = {
            name: map_arrays(part, self._data_to_user) for name, part in given.arguments.items()
        }
        weights = {
            weight.name: self._to_user(getattr(self, weight.key).reshape(weight.shape))
            for weight in self.code.weights
        }
        inputs = [*arrays_in(dict(given.arguments)), *weights.values()]
        dtype = next(iter(arrays_in([*data, *named.values()]))).dtype
        returned = without_cache(self.code.call(given, weights), inputs)
        return map_arrays(returned, lambda part: self._from_user(part, dtype))

    def _to_user(self, part: Tensor) -> Any:
        return part.detach().numpy() if self.code.numpy else part

    def _data_to_user(self, part: Tensor) -> Any:
        return self._to_user(_reversed_axes(part) if self.code.samples_last else part)

    def _from_user(self, part: Any, dtype: torch.dtype) -> Any:
        if not isinstance(part, Tensor):
            array = np.asarray(part)
            if array.dtype.kind != "f" or array.ndim == 0:
                return None
            part = torch.tensor(array, dtype=dtype)  # NumPy computes in float64 in any case
        return _reversed_axes(part) if self.code.samples_last else part


def function_module(name: str, code: Code) -> FunctionModule:
    """The module for the user's code; its class has the name of the code.

    Its ``forward`` has the signature of the code, without the weights.
    """

    def forward(self: FunctionModule, *data: Any, **named: Any) -> Any:
        return self.run(*data, **named)

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    arguments = [own, *code.signature.parameters.values()]
    forward.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]  # inspect reads it
    module: FunctionModule = type(name, (FunctionModule,), {"forward": forward})(code)
    return module


def without_cache(returned: Any, inputs: Sequence[Any]) -> Any:
    """What is returned without the values that are kept for a backward pass.

    That is a container that holds one of the inputs or weights, or something that is not an array.
    """
    if not isinstance(returned, tuple | list) or hasattr(returned, "_fields"):
        return returned
    ids = {id(each) for each in inputs}
    kept = [
        part
        for part in returned
        if not isinstance(part, tuple | list | dict) or not _is_cache(part, ids)
    ]
    return tuple(kept)


def _is_cache(part: Any, ids: set[int]) -> bool:
    if any(id(each) in ids for each in arrays_in(part)):
        return True
    values = list(part.values()) if isinstance(part, dict) else list(part)
    return not all(isinstance(each, np.ndarray | Tensor | tuple | list) for each in values)


def _reversed_axes(part: Tensor) -> Tensor:
    return part.permute(*reversed(range(part.dim())))
