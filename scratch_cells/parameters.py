"""torch.nn's parameter names, both ways.

A module here keeps its weights where they are used, in its ``nn.Linear``s. Towards the outside it
also answers to the names that torch.nn gives them: ``state_dict()`` is written and read in
torch.nn's keys and order, and ``layer.weight_hh_l0`` is the recurrent matrix itself.
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
    """An ``nn.Linear`` whose values are left for the caller to draw.

    ``nn.Linear`` draws its own as it is built; that would move the random generator on, and the
    same seed would no longer give the weights that torch.nn has.
    """
    device = torch.get_default_device() if device is None else device
    made: nn.Linear = nn.utils.skip_init(
        nn.Linear, in_features, out_features, bias, device=device, dtype=dtype
    )
    return made


def draw_uniform(weight: Tensor | None, hidden_size: int) -> None:
    """Fill with U(-1/√H, 1/√H), as torch.nn does with every weight and bias."""
    if weight is not None:
        bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0.0
        nn.init.uniform_(weight, -bound, bound)


class TorchNamed(nn.Module):
    """A module whose weights also answer to torch.nn's names."""

    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(_write_torch_names)
        self.register_load_state_dict_pre_hook(_read_torch_names)
        self.register_load_state_dict_post_hook(_report_torch_names)

    @abstractmethod
    def torch_names(self) -> dict[str, str]:
        """torch.nn's name of each weight, in torch.nn's order -> its path inside this module."""

    def named_weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The weights under torch.nn's names, in torch.nn's order."""
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


# The layer renames what its cells have renamed before: cells.0.input_to_hidden.weight becomes
# cells.0.weight_ih, and that becomes weight_ih_l0. Reading goes the same way back, outside in.


def _write_torch_names(
    module: TorchNamed, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    for name, path in module.torch_names().items():
        if prefix + path in state_dict:
            state_dict[prefix + name] = state_dict.pop(prefix + path)


def _read_torch_names(
    module: TorchNamed, state_dict: dict[str, Any], prefix: str, *rest: Any
) -> None:
    for name, path in module.torch_names().items():
        if prefix + name in state_dict:
            state_dict[prefix + path] = state_dict.pop(prefix + name)


def _report_torch_names(module: TorchNamed, incompatible_keys: Any) -> None:
    """Say what is missing under the name that the file would have it."""
    missing = incompatible_keys.missing_keys
    for name, path in module.torch_names().items():
        for index, key in enumerate(missing):
            if key == path or key.endswith("." + path):
                missing[index] = key.removesuffix(path) + name
