"""Construct the user's module and find out which of torch.nn's options its constructor accepts."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from cell_verifier.errors import CannotCheckError
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, Precision, fill_weights
from command_line.errors import own_line

ModuleFactory = Callable[..., nn.Module]
"""The user's class or function of (input_size, hidden_size)."""

TORCH_DEFAULTS: dict[str, Any] = {
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "nonlinearity": "tanh",
}
"""torch.nn's optional arguments; passed only if the constructor requires them, or to test them."""


@contextmanager
def default_dtype(precision: Precision) -> Iterator[None]:
    """Set the default dtype, so that tensors created by the user's code have it too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(precision.dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def construct_module(
    make: ModuleFactory,
    precision: Precision,
    input_size: int = INPUT_SIZE,
    hidden_size: int = HIDDEN_SIZE,
    **options: Any,
) -> nn.Module:
    """Call the user's class or function; the module has its own initial weights, in eval mode.

    Raises:
        CannotCheckError: the call raises, or does not return an ``nn.Module``.
    """
    options = _required_options(make) | options
    with default_dtype(precision):
        try:
            module = make(input_size, hidden_size, **options)
        except Exception as error:
            arguments = ", ".join([str(input_size), str(hidden_size), *_as_arguments(options)])
            raise CannotCheckError(
                f"{name_of(make)}({arguments}) raises: {own_line(error)}"
            ) from error
    if not isinstance(module, nn.Module):
        raise CannotCheckError(
            f"{name_of(make)}({input_size}, {hidden_size}) returns a {type(module).__name__}: "
            "expected an nn.Module"
        )
    return module.to(precision.dtype).eval()


def construct_with_test_weights(
    make: ModuleFactory, precision: Precision, input_size: int = INPUT_SIZE, **options: Any
) -> nn.Module:
    """Construct a new module and fill its parameters with the random test weights.

    Raises:
        CannotCheckError: as ``construct_module``.
    """
    module = construct_module(make, precision, input_size, **options)
    fill_weights(module)
    return module


def name_of(make: ModuleFactory) -> str:
    """The name of the user's class or function."""
    return getattr(make, "__name__", type(make).__name__)


def accepts_argument(make: ModuleFactory, option: str) -> bool:
    """Whether the constructor accepts one of torch.nn's options, by name or via ``**kwargs``."""
    if declares_argument(make, option):
        return True
    has_kwargs = any(each.kind is each.VAR_KEYWORD for each in _parameters(make).values())
    return has_kwargs and _can_construct(make, **{option: TORCH_DEFAULTS[option]})


def declares_argument(make: ModuleFactory, option: str) -> bool:
    """Whether the constructor's signature has an argument of this name (not via ``**kwargs``)."""
    return option in _parameters(make)


def _can_construct(make: ModuleFactory, **options: Any) -> bool:
    try:
        make(INPUT_SIZE, HIDDEN_SIZE, **options)
    except Exception:
        return False
    return True


def _required_options(make: ModuleFactory) -> dict[str, Any]:
    """torch.nn's options that the constructor has no default for."""
    return {
        name: TORCH_DEFAULTS[name]
        for name, parameter in list(_parameters(make).items())[2:]
        if parameter.default is parameter.empty and name in TORCH_DEFAULTS
    }


def _parameters(make: ModuleFactory) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(make).parameters)
    except (TypeError, ValueError):  # for example a callable written in C
        return {}


def _as_arguments(options: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in options.items()]
