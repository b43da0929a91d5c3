"""Access to the weights under torch.nn's parameter names.

The modules of this package keep their weights in ``nn.Linear``s. The weights are also available
under torch.nn's names: ``state_dict()`` and ``load_state_dict()`` use torch.nn's keys in torch.nn's
order, and the attribute ``layer.weight_hh_l0`` is the recurrent weight matrix.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
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
    weight = getattr(module, "weight", None)
    dtypes = {
        each.dtype for each in ([weight] if isinstance(weight, Tensor) else module.parameters())
    }
    return dtypes.pop() if len(dtypes) == 1 else None


def draw_uniform(weight: Tensor | None, hidden_size: int) -> None:
    """Fill a weight or bias with values from U(-1/√H, 1/√H), torch.nn's initialization."""
    if weight is not None:
        bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0
        nn.init.uniform_(weight, -bound, bound)


class TorchNamedModule(nn.Module):
    """A module whose weights are also available under torch.nn's names."""

    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(_write_torch_names)
        self.register_load_state_dict_pre_hook(_read_torch_names)
        self.register_load_state_dict_post_hook(_report_torch_names)

    @abstractmethod
    def torch_names(self) -> dict[str, str]:
        """Map torch.nn's name of each weight, in torch.nn's order, to its path in this module."""

    def named_weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each weight with its torch.nn name, in torch.nn's order."""
        for name, path in self.torch_names().items():
            weight = _get(self, path)
            if weight is not None:
                yield name, weight

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("weight_", "bias_")) and name in (names := self.torch_names()):
            return _get(self, names[name])
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith(("weight_", "bias_")) and name in (names := self.torch_names()):
            owner, _, attribute = names[name].rpartition(".")
            setattr(self.get_submodule(owner), attribute, value)
        else:
            super().__setattr__(name, value)


def _get(module: nn.Module, path: str) -> Any:
    owner, _, attribute = path.rpartition(".")
    return getattr(module.get_submodule(owner), attribute)


# Saving renames in two steps: the cell renames cells.0.input_to_hidden.weight to
# cells.0.weight_ih, then the layer renames that to weight_ih_l0. Loading reverses both steps.


def _write_torch_names(
    module: TorchNamedModule, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    for name, path in module.torch_names().items():
        if prefix + path in state_dict:
            state_dict[prefix + name] = state_dict.pop(prefix + path)


def _read_torch_names(
    module: TorchNamedModule, state_dict: dict[str, Any], prefix: str, *rest: Any
) -> None:
    for name, path in module.torch_names().items():
        if prefix + name in state_dict:
            state_dict[prefix + path] = state_dict.pop(prefix + name)


def _report_torch_names(module: TorchNamedModule, incompatible_keys: Any) -> None:
    """Report missing keys under their torch.nn names."""
    missing = incompatible_keys.missing_keys
    for name, path in module.torch_names().items():
        for index, key in enumerate(missing):
            if key == path or key.endswith("." + path):
                missing[index] = key.removesuffix(path) + name
