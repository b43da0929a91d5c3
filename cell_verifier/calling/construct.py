"""Make the user's module: the constructor's arguments, found by trying."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from cell_verifier.errors import CannotCheckError
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, Precision
from command_line.errors import own_line

Make = Callable[..., nn.Module]

TORCH_DEFAULTS: dict[str, Any] = {
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "nonlinearity": "tanh",
}
"""torch.nn's optional arguments: given only where the user's constructor insists, or to try."""


@contextmanager
def working_in(precision: Precision) -> Iterator[None]:
    """Make this the default dtype, so that tensors which the user's code makes have it too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(precision.dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def build(
    make: Make,
    precision: Precision,
    input_size: int = INPUT_SIZE,
    hidden_size: int = HIDDEN_SIZE,
    **options: Any,
) -> nn.Module:
    """Call the user's class or function; the module is in eval mode and of the precision's dtype.

    Raises:
        CannotCheckError: it raises, or gives something else than a module.
    """
    options = _insisted_on(make) | options
    with working_in(precision):
        try:
            module = make(input_size, hidden_size, **options)
        except Exception as error:
            called = ", ".join([str(input_size), str(hidden_size), *_spelled(options)])
            raise CannotCheckError(
                f"{name_of(make)}({called}) does not construct: {own_line(error)}"
            ) from error
    if not isinstance(module, nn.Module):
        raise CannotCheckError(
            f"{name_of(make)}({input_size}, {hidden_size}) gives a {type(module).__name__}: "
            "expected an nn.Module"
        )
    return module.to(precision.dtype).eval()


def name_of(make: Make) -> str:
    return getattr(make, "__name__", type(make).__name__)


def takes(make: Make, option: str) -> bool:
    """Whether the constructor names one of torch.nn's arguments, or passes them on."""
    parameters = _parameters(make)
    if option in parameters:
        return True
    passes_on = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return passes_on and _constructs(make, **{option: TORCH_DEFAULTS[option]})


def names(make: Make, option: str) -> bool:
    """Whether the constructor itself names the argument, rather than hand on whatever it gets."""
    return option in _parameters(make)


def _constructs(make: Make, **options: Any) -> bool:
    try:
        make(INPUT_SIZE, HIDDEN_SIZE, **options)
    except Exception:
        return False
    return True


def _insisted_on(make: Make) -> dict[str, Any]:
    """torch.nn's arguments, beyond the two sizes, that the constructor has no default for."""
    return {
        name: TORCH_DEFAULTS[name]
        for name, parameter in list(_parameters(make).items())[2:]
        if parameter.default is parameter.empty and name in TORCH_DEFAULTS
    }


def _parameters(make: Make) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(make).parameters)
    except (TypeError, ValueError):  # a callable written in C, say
        return {}


def _spelled(options: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in options.items()]
