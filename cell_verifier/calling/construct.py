"""Construct the user's module and find out which of torch.nn's options its constructor accepts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from cell_verifier.calling.arguments import TORCH_DEFAULTS, constructor_of
from cell_verifier.calling.initial_call import with_initial_call
from cell_verifier.errors import CannotCheckError
from cell_verifier.functions.objects import module_of_object
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, Precision, fill_weights
from command_line.errors import own_line

ModuleFactory = Callable[..., nn.Module]
"""The user's class or function of (input_size, hidden_size)."""


class CannotConstructError(CannotCheckError):
    """The user's class or function raises, or does not return an ``nn.Module``."""


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
        CannotConstructError: the call raises, or does not return an ``nn.Module``.
        CannotCheckError: an argument is required, and it is not clear what to pass.
    """
    constructor = constructor_of(make)
    with default_dtype(precision), torch.enable_grad():
        positional, named = constructor.call_arguments(input_size, hidden_size, options)
        try:
            module = constructor.make(*positional, **named)
        except Exception as error:
            arguments = ", ".join([*map(str, positional), *_as_arguments(named)])
            raise CannotConstructError(
                f"{name_of(make)}({arguments}) raises: {own_line(error)}"
            ) from error
    if not isinstance(module, nn.Module):
        module = module_of_object(module, name_of(make)) or module
    if not isinstance(module, nn.Module):
        raise CannotConstructError(
            f"{name_of(make)}({input_size}, {hidden_size}) returns a {type(module).__name__}: "
            "expected an nn.Module, or an object with arrays as attributes and a method forward"
        )
    if constructor.part:
        module = module.get_submodule(constructor.part)
    with default_dtype(precision):
        return with_initial_call(module.to(precision.dtype).eval())


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
    has_kwargs = constructor_of(make).has_kwargs()
    return has_kwargs and _can_construct(make, **{option: TORCH_DEFAULTS[option]})


def declares_argument(make: ModuleFactory, option: str) -> bool:
    """Whether the constructor's signature has this option (not via ``**kwargs``)."""
    return bool(constructor_of(make).own_name(option))


def _can_construct(make: ModuleFactory, **options: Any) -> bool:
    try:
        constructor_of(make)(INPUT_SIZE, HIDDEN_SIZE, **options)
    except Exception:
        return False
    return True


def _as_arguments(options: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in options.items()]
