"""Create an ``nn.Linear``, and read what is in the place of one."""

import math
from typing import Any

import torch
from torch import Tensor, nn


def linear(
    in_features: int,
    out_features: int,
    bias: bool,
    device: torch.device | str | int | None,
    dtype: torch.dtype | None,
) -> nn.Linear:
    """Create an ``nn.Linear`` without initializing its weights.

    The initialization of ``nn.Linear`` would draw from the random generator. Then the same seed
    would not give the same weights as torch.nn.
    """
    layer = nn.Linear(in_features, out_features, bias, device="meta", dtype=dtype)
    for name, weight in list(layer.named_parameters()):
        empty = torch.empty(weight.shape, device=device, dtype=dtype)
        setattr(layer, name, nn.Parameter(empty))
    return layer


def dtype_of(module: nn.Module) -> torch.dtype | None:
    """The dtype of a module that computes W x + b, or None if its weights have no single one.

    In the place of an ``nn.Linear`` there may be a wrapper, such as a low-rank adapter, or a
    quantized module, whose ``weight`` is a method.
    """
    weight = module._parameters.get("weight")
    if weight is None:
        weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor):
        return weight.dtype
    dtypes = {each.dtype for each in module.parameters()}
    return dtypes.pop() if len(dtypes) == 1 else None


def resident_weight(module: nn.Module) -> Any:
    """The weight of an ``nn.Linear``, or None if a call of it may use another one.

    For example, an offloading tool moves the weight to the device of the input in a hook or in a
    replaced ``forward``.
    """
    if (
        type(module) is nn.Linear
        and not module._forward_pre_hooks
        and "forward" not in vars(module)
    ):
        return parameter(module, "weight")
    return None


def submodule(module: nn.Module, name: str) -> Any:
    """``getattr(module, name)``, faster where no other attribute hides the submodule."""
    modules = module._modules
    return modules[name] if name in modules else getattr(module, name)


def parameter(module: nn.Module, name: str) -> Any:
    """``getattr(module, name)``, faster where no other attribute hides the parameter."""
    parameters = module._parameters
    return parameters[name] if name in parameters else getattr(module, name)


def draw_uniform(weight: Tensor | None, hidden_size: int) -> None:
    """Fill a weight or bias with values from U(-1/√H, 1/√H), torch.nn's initialization."""
    if weight is not None:
        bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0
        nn.init.uniform_(weight, -bound, bound)
