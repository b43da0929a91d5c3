"""Which arguments of a plain function are input and state, weights, or sizes."""

import contextlib
import inspect
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cell_verifier.backward.roles import possible_roles, role_of
from cell_verifier.calling.arguments import HIDDEN_NAMES, INPUT_NAMES, names
from cell_verifier.calling.state_argument import STATE_NAMES
from cell_verifier.errors import CannotCheckError
from cell_verifier.functions.source import parts_of_container

DATA_ROLES = ("x", "h", "c")
CONTAINER_NAMES = names("parameters params weights param p theta variables vars ws model cell")
HEAD_NAMES = names("wy why whq wya whout wout wo2 wq v wfc by bq bout byh bfc")
"""Weights of an output layer, without underscores and in lower case."""


@dataclass(frozen=True)
class Container:
    """An argument that holds several weights.

    Attributes:
        kind: how the function takes it apart: ``key``, ``unpack`` or ``attribute``.
        parts: the names of the weights.
    """

    kind: str
    parts: tuple[str, ...]

    def build(self, arrays: Sequence[Any]) -> Any:
        """The argument with these arrays."""
        if self.kind == "unpack":
            return list(arrays)
        named = dict(zip(self.parts, arrays, strict=True))
        return named if self.kind == "key" else SimpleNamespace(**named)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a plain function.

    Attributes:
        data: for input and state.
        weights: the arguments that are one array each.
        containers: the arguments that hold several.
        sizes: the arguments that are ``input_size`` or ``hidden_size``.
    """

    data: tuple[inspect.Parameter, ...]
    weights: tuple[str, ...]
    containers: Mapping[str, Container]
    sizes: Mapping[str, str]

    @property
    def weight_names(self) -> list[str]:
        """The weights, those of containers as ``argument.part``."""
        held = [f"{name}.{part}" for name, each in self.containers.items() for part in each.parts]
        return [*self.weights, *held]


def arguments_of(function: Callable[..., Any], given: Sequence[str] = ()) -> Arguments | None:
    """The arguments of a plain function; None if it is none, but for example a constructor.

    Args:
        given: the names of weights that the caller describes.

    Raises:
        CannotCheckError: an argument is none of these.
    """
    if isinstance(function, type):
        return None
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if not any(role_of(each.name) == "x" for each in parameters):
        return None
    data, weights, sizes = [], [], {}
    containers: dict[str, Container] = {}
    for each in parameters:
        name = each.name
        required = each.default is each.empty
        if name in given:
            weights.append(name)
        elif _is_data(name):
            data.append(each)
        elif not required or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            continue
        elif name.lower() in INPUT_NAMES | HIDDEN_NAMES:
            sizes[name] = "input_size" if name.lower() in INPUT_NAMES else "hidden_size"
        else:
            container = container_of(function, name)
            if container is not None:
                containers[name] = container
            else:
                weights.append(name)
    found = Arguments(tuple(data), tuple(weights), containers, sizes)
    return found if found.weight_names else None


def _is_data(name: str) -> bool:
    return role_of(name) in DATA_ROLES or name.lower() in STATE_NAMES


def container_of(function: Callable[..., Any], name: str) -> Container | None:
    """The container that the argument ``name`` is, or None if it is one array."""
    found = parts_of_container(function, name)
    if name.lower() in CONTAINER_NAMES and (found is None or found[0] == "key"):
        keys = [*(found[1] if found else ()), *_keys_read(function, name)]
        if keys:
            return Container("key", tuple(dict.fromkeys(keys)))
    return Container(found[0], tuple(found[1])) if found is not None else None


class _Anything:
    """Takes part in any computation with arrays or tensors; every result is of the same kind."""

    shape = (1, 1)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> "_Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    @classmethod
    def __torch_function__(cls, *_: Any, **__: Any) -> "_Anything":
        return cls()


for _method in (
    *("call", "getitem", "array_ufunc", "array_function", "neg", "add", "radd", "sub", "rsub"),
    *("mul", "rmul", "truediv", "rtruediv", "matmul", "rmatmul", "pow", "rpow"),
):
    setattr(_Anything, f"__{_method}__", lambda *_, **__: _Anything())


class _KeyRecorder(dict[str, Any]):
    """A dictionary that records which keys are read."""

    def __missing__(self, key: str) -> Any:
        self[key] = _Anything()
        return self[key]


def _keys_read(function: Callable[..., Any], name: str) -> list[str]:
    """The keys that the function reads, in the functions that it calls too."""
    found: list[str] = []
    for array in (np.zeros, torch.zeros):
        for axes in (2, 3):
            recorder = _KeyRecorder()
            required = [
                each.name
                for each in inspect.signature(function).parameters.values()
                if each.default is each.empty
            ]
            shapes = [(1,) * (axes if role_of(each) == "x" else 2) for each in required]
            arguments = dict(zip(required, map(array, shapes), strict=True)) | {name: recorder}
            with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                function(**arguments)
            found += [key for key in recorder if isinstance(key, str)]
    return list(dict.fromkeys(found))


def roles_of_weights(
    arguments: Arguments, kind: str, name: str
) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """For each way to understand the names: weight -> role, and the weights of an output layer.

    Raises:
        CannotCheckError: no way is known.
    """
    all_names = arguments.weight_names
    plain = {each: each.rpartition(".")[2] for each in all_names}
    heads = tuple(each for each in all_names if is_head(plain[each], kind))
    own = [each for each in all_names if each not in heads]
    data = ["x", "h", "c"] if kind == "lstm" else ["x", "h"]
    found = False
    for roles in possible_roles([*data, *(plain[each] for each in own)], kind, None):
        if roles[: len(data)] == tuple(data):
            found = True
            yield dict(zip(own, roles[len(data) :], strict=True)), heads
    if not found:
        raise CannotCheckError(
            f"{name} takes {', '.join(plain.values())}, and it is not clear which shapes these "
            "have: pass weights={name: shape} with the input_size and hidden_size of these shapes"
        )


def is_head(name: str, kind: str) -> bool:
    """Whether a weight is named like that of an output layer."""
    plain = re.sub(r"[_\d]", "", name.lower())
    return plain in HEAD_NAMES and (plain != "v" or kind == "rnn")
