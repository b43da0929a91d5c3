"""Replace the recurrent layers inside a model: torch.nn's by hand-written ones, and back.

The weights keep their values, so the converted model gives the same outputs. A hand-written layer
also supports what torch.nn's does not: recording the gates, second derivatives on a GPU, vmap.
"""

import copy
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import (
    is_parametrized,
    register_parametrization,
    type_before_parametrizations,
)

from scratch_cells.cell import Cell
from scratch_cells.gru import GRUCell
from scratch_cells.layers import GRU, LSTM, RNN
from scratch_cells.lstm import LSTMCell
from scratch_cells.parameters import TorchNamedModule, remove_second_names
from scratch_cells.recurrent_stack import RecurrentStack
from scratch_cells.rnn import RNNCell

SCRATCH_CLASSES: dict[type[nn.Module], type[TorchNamedModule]] = {
    nn.RNN: RNN,
    nn.GRU: GRU,
    nn.LSTM: LSTM,
    nn.RNNCell: RNNCell,
    nn.GRUCell: GRUCell,
    nn.LSTMCell: LSTMCell,
}
"""torch.nn's class -> the hand-written class that computes the same."""

CONSTRUCTOR_ARGUMENTS = (
    "input_size",
    "hidden_size",
    "num_layers",
    "nonlinearity",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)

NOT_MOVED = ("mode", "backend", "checkpoint_every", "output_size", "cells")
"""Attributes of one of the two implementations alone."""

HOOKS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
"""The dictionaries in which a module keeps its hooks."""


def from_torch(model: nn.Module) -> nn.Module:
    """Copy ``model`` and replace every recurrent layer and cell of torch.nn by a hand-written one.

    The given model does not change. In the copy, a layer that is used in several places is still
    one layer, tied weights are still tied, and frozen weights are still frozen. Hooks, buffers,
    parametrizations and pruning of a layer, and its own attributes, are kept. A subclass that
    overrides torch.nn's forward may compute something else; it is not replaced.

    Raises:
        TypeError: something about a layer cannot be kept, such as a replaced ``forward``.
    """
    return _replace_modules(model, _scratch_class)


def to_torch(model: nn.Module) -> nn.Module:
    """Copy ``model`` and replace every hand-written layer and cell by torch.nn's.

    The inverse of ``from_torch``.

    Raises:
        TypeError: torch.nn has no class for a hand-written layer or cell, for example one with a
            custom cell; or something about one cannot be kept, such as a hook on a cell.
    """
    return _replace_modules(model, _torch_class)


def _scratch_class(module: nn.Module) -> type[nn.Module] | None:
    for torch_class, scratch_class in SCRATCH_CLASSES.items():
        # A subclass that does not override forward computes the same as torch.nn.
        if isinstance(module, torch_class) and type(module).forward is torch_class.forward:
            return scratch_class
    return None


def _torch_class(module: nn.Module) -> type[nn.Module] | None:
    for torch_class, scratch_class in SCRATCH_CLASSES.items():
        if type_before_parametrizations(module) is scratch_class:
            return torch_class
    if isinstance(module, RecurrentStack | Cell):
        raise TypeError(
            f"torch.nn has no counterpart of {type(module).__name__}: "
            "to_torch converts only RNN, GRU, LSTM and their cells"
        )
    return None


def _replace_modules(
    model: nn.Module, new_class_of: Callable[[nn.Module], type[nn.Module] | None]
) -> nn.Module:
    """Copy ``model`` and rebuild every module in it for which ``new_class_of`` gives a class."""
    replaced: dict[nn.Module, nn.Module] = {}

    def visit(module: nn.Module) -> nn.Module:
        if module not in replaced:
            new_class = new_class_of(module)
            replaced[module] = module if new_class is None else _rebuild(module, new_class)
            if new_class is None:
                for name, child in module._modules.items():
                    if child is not None:
                        setattr(module, name, visit(child))
        return replaced[module]

    # A pruned or normalized weight is an attribute with a graph, which deepcopy does not support.
    values = [value for module in model.modules() for value in vars(module).values()]
    with_graph = [v for v in values if isinstance(v, Tensor) and not v.is_leaf]
    memo = {id(value): value.detach().clone() for value in with_graph}
    return visit(copy.deepcopy(model, memo))


def _rebuild(module: nn.Module, new_class: type[nn.Module]) -> nn.Module:
    """Create the same layer as ``new_class``, with the same parameter objects."""
    _check_that_all_can_be_kept(module)
    arguments = {
        name: getattr(module, name) for name in CONSTRUCTOR_ARGUMENTS if hasattr(module, name)
    }
    if getattr(module, "proj_size", 0):
        arguments["proj_size"] = module.proj_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the original layer already warned about its dropout
        rebuilt = new_class(**arguments, device="meta")
    _move_weights(module, rebuilt)
    for name, child in module._modules.items():
        if name not in ("cells", "input_to_hidden", "hidden_to_hidden", "parametrizations"):
            rebuilt.register_module(name, child)
    for name, buffer in module._buffers.items():
        persistent = name not in module._non_persistent_buffers_set
        rebuilt.register_buffer(name, buffer, persistent)
    for name, value in vars(module).items():
        if not name.startswith("_") and name not in (*vars(rebuilt), *NOT_MOVED):
            setattr(rebuilt, name, value)
    for name in HOOKS:
        vars(rebuilt)[name].update(_hooks(module, name))
        for hook in vars(rebuilt)[name].values():
            if getattr(hook, "with_module", False):  # a hook for loading, which stores its module
                hook.module = weakref.ref(rebuilt)
    rebuilt._is_full_backward_hook = module._is_full_backward_hook
    rebuilt.training = module.training
    return rebuilt


def _move_weights(module: nn.Module, rebuilt: nn.Module) -> None:
    """Register in ``rebuilt`` the parameters and parametrizations of ``module``."""
    parametrized: Any = module.parametrizations if is_parametrized(module) else {}
    for name in list(rebuilt._parameters):
        if name in parametrized:
            register_parametrization(rebuilt, name, nn.Identity())  # replaced below
        elif name not in module._parameters:  # pruned, for example: an attribute has the value
            delattr(rebuilt, name)
    if is_parametrized(rebuilt):
        rebuilt.parametrizations = parametrized
    for name, parameter in module._parameters.items():
        if name in rebuilt._parameters:
            setattr(rebuilt, name, parameter)
        else:
            rebuilt.register_parameter(name, parameter)


def _check_that_all_can_be_kept(module: nn.Module) -> None:
    """Raise TypeError if the conversion would change what a layer computes."""
    kind = type(module).__name__
    if "forward" in vars(module):
        raise TypeError(f"cannot convert {kind}: its forward was replaced; restore it first")
    if not isinstance(module, TorchNamedModule):
        return
    for name, part in module.named_modules():
        if not name.startswith(("cells.", "input_to_hidden", "hidden_to_hidden")):
            continue
        if not isinstance(part, Cell) and type(part) is not nn.Linear:
            raise TypeError(
                f"cannot convert {kind}: {name} is a {type(part).__name__}, for which torch.nn's "
                f"{kind} has no place; restore its nn.Linear first"
            )
        if is_parametrized(part) or any(_hooks(part, hooks) for hooks in HOOKS):
            raise TypeError(
                f"cannot convert {kind}: {name} has hooks or a parametrization, for which "
                f"torch.nn's {kind} has no place; remove them first"
            )


def _hooks(module: nn.Module, name: str) -> dict[int, Any]:
    """The hooks of one kind that were registered on a module, without those of its class."""
    hooks = vars(module)[name]
    return {key: hook for key, hook in hooks.items() if hook is not remove_second_names}
