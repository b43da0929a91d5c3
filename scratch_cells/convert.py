"""Replace the recurrent layers inside a model: torch.nn's by hand-written ones, and back.

The weights keep their values, so the converted model gives the same outputs. A hand-written layer
also supports what torch.nn's does not: recording the gates, second derivatives on a GPU, vmap.
"""

import copy
import warnings
from collections.abc import Callable

from torch import nn

from scratch_cells.cell import Cell
from scratch_cells.gru import GRUCell
from scratch_cells.layers import GRU, LSTM, RNN, RecurrentStack
from scratch_cells.lstm import LSTMCell
from scratch_cells.parameters import TorchNamedModule
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


def from_torch(model: nn.Module) -> nn.Module:
    """Copy ``model`` and replace every recurrent layer and cell of torch.nn by a hand-written one.

    The given model does not change. In the copy, a layer that is used in several places is still
    one layer, tied weights are still tied, and frozen weights are still frozen. A subclass that
    overrides torch.nn's forward may compute something else; it is not replaced.

    Raises:
        RuntimeError: the weights of a layer do not have torch.nn's names, for example because of
            a parametrization.
    """
    return _replace_modules(model, _scratch_class)


def to_torch(model: nn.Module) -> nn.Module:
    """Copy ``model`` and replace every hand-written layer and cell by torch.nn's.

    The inverse of :func:`from_torch`.

    Raises:
        TypeError: torch.nn has no class for a hand-written layer or cell, for example one with a
            custom cell.
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
        if type(module) is scratch_class:
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

    return visit(copy.deepcopy(model))


def _rebuild(module: nn.Module, new_class: type[nn.Module]) -> nn.Module:
    """Create the same layer as ``new_class``, with the same parameter objects."""
    arguments = {
        name: getattr(module, name) for name in CONSTRUCTOR_ARGUMENTS if hasattr(module, name)
    }
    if getattr(module, "proj_size", 0):
        arguments["proj_size"] = module.proj_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the original layer already warned about its dropout
        rebuilt = new_class(**arguments, device="meta")
    weights = module.state_dict(keep_vars=True)
    frozen = {name for name, weight in weights.items() if not weight.requires_grad}
    rebuilt.load_state_dict(weights, assign=True)
    for name, weight in rebuilt.state_dict(keep_vars=True).items():
        weight.requires_grad_(name not in frozen)
    return rebuilt.train(module.training)
