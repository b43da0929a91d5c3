"""Swap the recurrent layers inside any model, from torch.nn's to the hand-written and back.

The weights stay the very same numbers, so the converted model gives the same outputs; and what
torch.nn cannot do (see its gates, differentiate twice on a GPU, vmap) can be done with it.
"""

import copy
import warnings
from collections.abc import Callable

from torch import nn

from scratch_cells.cell import Cell
from scratch_cells.gru import GRUCell
from scratch_cells.layers import GRU, LSTM, RNN, RecurrentStack
from scratch_cells.lstm import LSTMCell
from scratch_cells.parameters import TorchNamed
from scratch_cells.rnn import RNNCell

TWINS: dict[type[nn.Module], type[TorchNamed]] = {
    nn.RNN: RNN,
    nn.GRU: GRU,
    nn.LSTM: LSTM,
    nn.RNNCell: RNNCell,
    nn.GRUCell: GRUCell,
    nn.LSTMCell: LSTMCell,
}
"""torch.nn's class -> its hand-written twin."""

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
    """A copy of ``model`` with every recurrent layer and cell of torch.nn written out by hand.

    A layer used in several places stays one layer, tied weights stay tied, frozen ones frozen; the
    given model is left as it is. A subclass that overrides torch.nn's forward is not torch.nn's
    arithmetic any more and stays what it is.

    Raises:
        RuntimeError: a layer's weights are not under torch.nn's names (a parametrization, say).
    """
    return _swap(model, _scratch_twin)


def to_torch(model: nn.Module) -> nn.Module:
    """A copy of ``model`` with every hand-written layer and cell turned into torch.nn's.

    The inverse of :func:`from_torch`.

    Raises:
        TypeError: a layer or cell of this package's kind that torch.nn has no twin of.
    """
    return _swap(model, _torch_twin)


def _scratch_twin(module: nn.Module) -> type[nn.Module] | None:
    for torch_class, scratch_class in TWINS.items():
        # By forward rather than by class: thin wrappers are torch.nn's arithmetic too.
        if isinstance(module, torch_class) and type(module).forward is torch_class.forward:
            return scratch_class
    return None


def _torch_twin(module: nn.Module) -> type[nn.Module] | None:
    for torch_class, scratch_class in TWINS.items():
        if type(module) is scratch_class:
            return torch_class
    if isinstance(module, RecurrentStack | Cell):
        raise TypeError(
            f"torch.nn has no twin of {type(module).__name__}: "
            "to_torch converts RNN, GRU, LSTM and their cells"
        )
    return None


def _swap(model: nn.Module, twin_class: Callable[[nn.Module], type[nn.Module] | None]) -> nn.Module:
    swapped: dict[nn.Module, nn.Module] = {}

    def visit(module: nn.Module) -> nn.Module:
        if module not in swapped:
            twin = twin_class(module)
            swapped[module] = module if twin is None else _rebuild(module, twin)
            if twin is None:
                for name, child in module._modules.items():
                    if child is not None:
                        setattr(module, name, visit(child))
        return swapped[module]

    return visit(copy.deepcopy(model))


def _rebuild(module: nn.Module, twin: type[nn.Module]) -> nn.Module:
    """The same layer as another class, holding the very same parameters."""
    arguments = {
        name: getattr(module, name) for name in CONSTRUCTOR_ARGUMENTS if hasattr(module, name)
    }
    if getattr(module, "proj_size", 0):
        arguments["proj_size"] = module.proj_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about dropout: said when the layer was first built
        rebuilt = twin(**arguments, device="meta")
    weights = module.state_dict(keep_vars=True)
    frozen = {name for name, weight in weights.items() if not weight.requires_grad}
    rebuilt.load_state_dict(weights, assign=True)
    for name, weight in rebuilt.state_dict(keep_vars=True).items():
        weight.requires_grad_(name not in frozen)
    return rebuilt.train(module.training)
