"""From a configuration to a classifier: the layer is found by its flag, and tried once."""

from typing import Any

import torch
from torch import nn

from command_line.errors import ConfigError, own_line
from command_line.load_object import load_object
from scratch_cells import Cell, layer_of
from shared_interface import ImplementationError, SequenceClassifier, implementation_target
from training_loop.config import Config


def build_model(config: Config, input_size: int, num_classes: int) -> SequenceClassifier:
    """The layer that ``config`` names, with a linear readout on its final hidden state.

    Weights are drawn from torch's global generator, on the CPU: after the same
    ``torch.manual_seed`` they are the same for scratch and builtin, whatever device comes next.

    Args:
        config: names and sizes the layer.
        input_size: features of one step.
        num_classes: how many classes the readout tells apart.

    Raises:
        ImplementationError: the class cannot be imported, or is not a layer with torch.nn's
            interface.
    """
    layer_class = load_layer_class(config.implementation, config.cell)
    try:
        layer = layer_class(
            input_size,
            config.hidden_size,
            num_layers=config.num_layers,
            batch_first=True,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
        )
        model = SequenceClassifier(layer, num_classes)
        _try_once(model, input_size, num_classes)
    except Exception as error:  # the class may be anybody's, and so may be what it raises
        reason = own_line(error)
        raise ImplementationError(f"{config.layer} cannot be used: {reason}") from error
    return model


def load_layer_class(implementation: str, cell: str = "lstm") -> Any:
    """The layer class that an ``--implementation`` option names; of a Cell, the layer of it.

    Args:
        implementation: ``scratch``, ``builtin``, ``FILE.py:CLASS`` or ``package.module:CLASS``.
        cell: ``rnn``, ``gru`` or ``lstm``: the kind of scratch or builtin layer.

    Raises:
        ImplementationError: the option does not name a class that can be imported.
    """
    try:
        found = load_object(implementation_target(implementation, cell))
    except ConfigError as error:
        raise ImplementationError(f"implementation is {implementation}: {error}") from error
    if not isinstance(found, type):
        raise ImplementationError(f"implementation is {implementation}: expected a class")
    return layer_of(found) if issubclass(found, Cell) else found


def count_parameters(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _try_once(model: nn.Module, input_size: int, num_classes: int) -> None:
    """Read two sequences of three steps: a wrong layer shows now rather than in mid-training."""
    model.eval()  # without dropout, which would draw from the generator
    with torch.no_grad():
        logits = model(torch.zeros(2, 3, input_size))
    model.train()
    if logits.shape != (2, num_classes):
        raise ValueError(
            f"for input (batch 2, time 3) with batch_first=True the final state gives scores of "
            f"shape {tuple(logits.shape)}, expected {(2, num_classes)}"
        )
