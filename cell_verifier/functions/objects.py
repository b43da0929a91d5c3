"""An object with arrays as attributes, or a function with arrays in its closure, as a module."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from cell_verifier.backward.roles import role_of
from cell_verifier.functions.module import Code, Weight, function_module
from command_line.errors import is_users_file

METHODS = ("forward", "__call__", "step", "step_forward", "forward_step", "cell_forward", "fprop")
"""Names of the method that computes a step or a sequence, the most likely first."""

MAX_DEPTH = 4
"""How deep arrays are searched in attributes of attributes."""


@dataclass(frozen=True)
class Holder:
    """A place that holds an array.

    Attributes:
        owner: an object, a list or a dictionary, or a closure's cell.
        key: the name of the attribute, or the index or key.
        is_item: whether it is an index or key.
    """

    owner: Any
    key: Any
    is_item: bool = False

    def read(self) -> Any:
        return self.owner[self.key] if self.is_item else getattr(self.owner, self.key)

    def write(self, value: Any) -> None:
        if self.is_item:
            self.owner[self.key] = value
        else:
            setattr(self.owner, self.key, value)


def module_of_object(made: Any, name: str = "") -> nn.Module | None:
    """A module for an object with arrays as attributes, or for a function with arrays around it.

    Samples are taken as columns, x (I, B), if there is a bias of shape (n, 1).

    Returns:
        None if it has no such arrays, or no method that takes an input.
    """
    method = _method_of(made)
    holders = dict(_without_gradients(dict(_holders_of(made))))
    if method is None or not holders:
        return None
    shapes = {path: tuple(holder.read().shape) for path, holder in holders.items()}
    samples_last = any(len(each) == 2 and each[0] > each[1] == 1 for each in shapes.values())
    numpy = any(isinstance(holder.read(), np.ndarray) for holder in holders.values())

    def call(data: inspect.BoundArguments, arrays: Mapping[str, Any]) -> Any:
        for path, holder in holders.items():
            holder.write(arrays[path])
        return method(*data.args, **data.kwargs)

    weights = [Weight(path, shape) for path, shape in shapes.items()]
    code = Code(call, inspect.signature(method), weights, numpy, samples_last)
    return function_module(name or _name_of(made), code)


def _method_of(made: Any) -> Callable[..., Any] | None:
    """The method that takes an input, or the function itself."""
    if inspect.isfunction(made):
        return made
    methods = (getattr(made, name, None) for name in METHODS if hasattr(type(made), name))
    return next(filter(callable, methods), None)


def _name_of(made: Any) -> str:
    return str(made.__name__ if inspect.isfunction(made) else type(made).__name__)


def _holders_of(made: Any) -> Iterator[tuple[str, Holder]]:
    if not inspect.isfunction(made):
        yield from _in_attributes(made, "", 0)
        return
    for name, cell in zip(made.__code__.co_freevars, made.__closure__ or (), strict=True):
        yield from _at(name, Holder(cell, "cell_contents"), 0)


def _in_attributes(made: Any, path: str, depth: int) -> Iterator[tuple[str, Holder]]:
    for name in list(getattr(made, "__dict__", ())):
        yield from _at(f"{path}{name}", Holder(made, name), depth)


def _at(path: str, holder: Holder, depth: int) -> Iterator[tuple[str, Holder]]:
    """The arrays in what a place holds."""
    value = holder.read()
    if _is_weight(path, value):
        yield path, holder
    elif depth >= MAX_DEPTH:
        return
    elif isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from _at(f"{path}.{key}", Holder(value, key, is_item=True), depth + 1)
    elif isinstance(value, nn.Module):
        for name, _ in value.named_parameters():
            part, _, key = name.rpartition(".")
            owner = value.get_submodule(part)._parameters
            yield f"{path}.{name}", Holder(owner, key, is_item=True)
    elif _is_users_object(value):
        yield from _in_attributes(value, f"{path}.", depth + 1)


def _is_weight(path: str, value: Any) -> bool:
    """Whether it is a float array and is not named like a state that is kept."""
    is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    is_tensor = isinstance(value, torch.Tensor) and value.is_floating_point()
    name = path.rpartition(".")[2]
    return (is_array or is_tensor) and value.ndim > 0 and role_of(name) not in ("x", "h", "c")


def _is_users_object(value: Any) -> bool:
    """Whether it is an instance of a class of the user's."""
    if isinstance(value, type) or inspect.isroutine(value) or not hasattr(value, "__dict__"):
        return False
    try:
        return is_users_file(inspect.getfile(type(value)))
    except (TypeError, OSError):
        return False


def _without_gradients(holders: dict[str, Holder]) -> Iterator[tuple[str, Holder]]:
    """Leave out ``dW`` and ``grad_W`` where there is a ``W``."""
    names = {path.rpartition(".")[2] for path in holders}
    for path, holder in holders.items():
        name = path.rpartition(".")[2]
        rest = name.removeprefix("grad").removeprefix("d").strip("_")
        if not path.startswith("grad") and (rest == name or rest not in names):
            yield path, holder
