"""Build the classifier of a configuration, and check it on a small batch."""

import inspect
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from command_line.errors import ConfigError, own_line
from command_line.load_object import load_object
from scratch_cells import Cell, layer_of
from scratch_cells.recurrent_stack import RecurrentStack
from shared_interface import (
    ImplementationError,
    SequenceClassifier,
    StepwiseClassifier,
    implementation_target,
)
from training_loop.check_layer import check_layer
from training_loop.config import Config


def build_model(
    config: Config, input_size: int, num_outputs: int, answers: int | None = None
) -> SequenceClassifier:
    """The recurrent layer of ``config``, with a linear readout.

    Weights are drawn from torch's global generator on the CPU. After the same
    ``torch.manual_seed`` they are equal for scratch and builtin, and for every device.

    Args:
        config: implementation, sizes and backend of the layer.
        input_size: number of features of one time step.
        num_outputs: number of outputs of the readout: for images, the number of classes.
        answers: None to read the final hidden state; else the readout reads the output at this
            number of time steps at the end of a sequence.

    Raises:
        ConfigError: ``config.backend`` is given, and the layer has no backends.
        ImplementationError: the class cannot be found, or does not have torch.nn's interface.
    """
    layer_class = load_layer_class(config.implementation, config.cell)
    add_readout = (
        SequenceClassifier if answers is None else partial(StepwiseClassifier, answers=answers)
    )
    if not _has_torch_arguments(layer_class):
        return add_readout(_adapt(layer_class, input_size, config), num_outputs)
    options: dict[str, Any] = {}
    if config.backend != "auto":
        if not (isinstance(layer_class, type) and issubclass(layer_class, RecurrentStack)):
            raise ConfigError(
                f"backend is {config.backend}: {config.layer} has no backends; expected auto, "
                "or the implementation scratch or a cell of your own"
            )
        options["backend"] = config.backend
    try:
        layer = layer_class(
            input_size,
            config.hidden_size,
            num_layers=config.num_layers,
            batch_first=True,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            **options,
        )
        check_layer(layer, input_size, config.layer)
        model = add_readout(layer, num_outputs)
        expected = (2, num_outputs) if answers is None else (2, answers, num_outputs)
        _check_output(model, input_size, expected)
    except ImplementationError:
        raise
    except Exception as error:  # user code may raise anything
        raise ImplementationError(f"{config.layer} cannot be used: {own_line(error)}") from error
    return model


TORCH_ARGUMENTS = ("num_layers", "batch_first", "dropout", "bidirectional")


def _has_torch_arguments(layer_class: Any) -> bool:
    """Whether the constructor takes torch.nn's arguments."""
    try:
        parameters = inspect.signature(layer_class).parameters
    except (TypeError, ValueError):
        return True
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return True
    return all(name in parameters for name in TORCH_ARGUMENTS)


def _adapt(layer_class: Any, input_size: int, config: Config) -> nn.Module:
    """A cell or layer of another interface, by the calling convention that the verifier finds.

    Raises:
        ConfigError: ``config.backend`` is given.
        ImplementationError: there is no such convention, or it gives no gradients.
    """
    # Not at the top: only a user's own cell needs the verifier.
    from cell_verifier.adapt import find_convention
    from cell_verifier.errors import CannotCheckError
    from training_loop.adapted_layer import AdaptedLayer

    if config.backend != "auto":
        raise ConfigError(f"backend is {config.backend}: {config.layer} has no backends")
    name = config.layer
    try:
        cell = find_convention(layer_class)
    except CannotCheckError as error:
        arguments = ", ".join(TORCH_ARGUMENTS)
        raise ImplementationError(
            f"{name} cannot be used: its constructor does not take {arguments}, and its calling "
            f"convention is not found: {error}"
        ) from error
    made = cell.make(input_size, config.hidden_size)
    if not isinstance(made, nn.Module):
        raise ImplementationError(
            f"{name} cannot be trained: it makes a {type(made).__name__}, expected an nn.Module, "
            "whose parameters an optimizer can change"
        )
    try:
        layer = AdaptedLayer(cell, input_size, config)
        output, _ = layer(torch.zeros(2, 3, input_size))
    except Exception as error:  # user code may raise anything
        raise ImplementationError(f"{name} cannot be used: {own_line(error)}") from error
    if not output.requires_grad:
        raise ImplementationError(f"{name} cannot be trained: its outputs have no gradient")
    return layer


def load_layer_class(implementation: str, cell: str | None) -> Any:
    """The layer class that ``--implementation`` names; for a class of cells, its layer class.

    Args:
        implementation: ``scratch``, ``builtin``, ``FILE.py:CLASS`` or ``package.module:CLASS``.
        cell: type of a scratch or builtin layer: ``rnn``, ``gru`` or ``lstm``, which is also
            taken for None: the configuration of a run with the user's own layer has no cell.

    Raises:
        ImplementationError: it does not name a class that can be imported.
    """
    try:
        found = load_object(implementation_target(implementation, cell or "lstm"))
    except ConfigError as error:
        raise ImplementationError(f"implementation is {implementation}: {error}") from error
    if isinstance(found, type) and issubclass(found, Cell):
        return layer_of(found)
    if not callable(found):
        raise ImplementationError(f"implementation is {implementation}: expected a class")
    return found


def describe_backend(config: Config, layer: nn.Module, sequences: Tensor) -> str:
    """The backend that computes a layer, with the reason, or who else computes it.

    Args:
        config: configuration of the run.
        layer: its recurrent layer, scratch, builtin or the user's.
        sequences: a batch of its input, on its device.
    """
    if isinstance(layer, RecurrentStack) and type(layer).forward is RecurrentStack.forward:
        if config.compile:
            return "operator: torch.compile records one operator for each cell"
        return str(layer.backend_for(sequences))
    convention = getattr(layer, "convention", None)  # of an AdaptedLayer
    if convention is not None:
        return f"the layer's own, called as {convention.describe()}"
    return "torch.nn" if isinstance(layer, nn.RNNBase) else "the layer's own"


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _check_output(model: nn.Module, input_size: int, expected: tuple[int, ...]) -> None:
    """Run two short sequences, so that a wrong layer fails before the training."""
    time = 3 if len(expected) == 2 else expected[1]  # at least one step for each answer
    model.eval()  # dropout would draw from the random generator
    with torch.no_grad():
        logits = model(torch.zeros(2, time, input_size))
    model.train()
    if logits.shape != expected:
        raise ValueError(
            f"for input (batch 2, time {time}) with batch_first=True, the readout gives logits of "
            f"shape {tuple(logits.shape)}, expected {expected}"
        )
