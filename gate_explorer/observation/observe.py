"""Everything that the panels show of one model that reads one image, as NumPy arrays."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from gate_explorer.errors import ExplorerError
from gate_explorer.observation.gradients import gradient_norms
from gate_explorer.observation.time_bins import Array, TimeBins
from scratch_cells import Trace, from_torch, to_torch, trace
from scratch_cells.recurrent_stack import RecurrentStack
from sequenced_mnist import to_sequences
from shared_interface import SequenceClassifier

PREFIX_BATCH = 64
"""Number of prefixes in one batch; limits the memory that a bidirectional model needs."""


@dataclass(frozen=True, eq=False)
class CellObservation:
    """Gates, states and gradients of one cell: one layer in one direction.

    Attributes:
        layer: index of the layer, from 0.
        reverse: True for the reverse direction.
        gates: each gate by name, activated, (T, units).
        states: the state after each step by name, (T, units): ``hidden``, and ``cell`` of an LSTM.
        gradients: norm of the gradient of the predicted class's score with respect to each of
            ``states``, (T,).
    """

    layer: int
    reverse: bool
    gates: dict[str, Array]
    states: dict[str, Array]
    gradients: dict[str, Array]


@dataclass(frozen=True, eq=False)
class Observation:
    """Everything that was recorded while a classifier read one image.

    Attributes:
        name: the name of the model that the page shows.
        image: (height, width) uint8, upright.
        sequence: how the image was read: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        steps: the input sequence, (T, features), from 0 (background) to 2 (ink).
        class_names: the name of each class.
        label: the image's correct class, or None if it is not known.
        probabilities: the class probabilities if the sequence ended after step t, (T, classes).
            For a bidirectional model and a long sequence they are computed only at the last step
            of each time bin, and are NaN elsewhere.
        input_gradient: norm of the gradient of the predicted class's score with respect to x_t,
            (T,).
        difference: largest |scratch - builtin| of the layer's outputs at each step, (T,); None for
            a custom cell, which has no counterpart in torch.nn.
        recomputed: True if the layer is torch.nn's. Its gates are then computed by the hand-written
            layer with the same weights.
        cells: layer by layer, forward before reverse.
    """

    name: str
    image: Array
    sequence: str
    steps: Array
    class_names: tuple[str, ...]
    label: int | None
    probabilities: Array
    input_gradient: Array
    difference: Array | None
    recomputed: bool
    cells: tuple[CellObservation, ...]

    @property
    def time(self) -> int:
        """Number of steps of the sequence, T."""
        return len(self.steps)

    @property
    def prediction(self) -> int:
        """The class with the highest probability after the last step."""
        return int(self.probabilities[-1].argmax())


def observe(
    model: nn.Module,
    image: Tensor,
    *,
    sequence: str = "rows",
    label: int | None = None,
    class_names: tuple[str, ...] | None = None,
    name: str = "",
) -> Observation:
    """Run ``model`` on ``image`` and record gates, states, gradients and probabilities.

    The model itself is not changed: a copy is moved to the CPU and set to evaluation mode.

    Args:
        model: a SequenceClassifier whose layer is from scratch_cells, made by ``layer_of``, or
            torch.nn's RNN, GRU or LSTM.
        image: (height, width) uint8.
        sequence: how the image is read: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        label: the image's correct class, if it is known.
        class_names: the name of each class; ``"0"``, ``"1"``, ... by default.
        name: the name of the model that the page shows; the layer's class by default.

    Raises:
        ExplorerError: the model or the image has the wrong type, or the image does not fit the
            model's input_size.
    """
    _check(model, image)
    model = copy.deepcopy(model).to("cpu").eval()
    assert isinstance(model, SequenceClassifier)
    steps = to_sequences(image.detach().cpu()[None], sequence)[0].to(model.readout.weight.dtype)
    if steps.shape[1] != model.layer.input_size:
        raise ExplorerError(
            f"image of {image.shape[0]} x {image.shape[1]} read by {sequence} has steps of "
            f"{steps.shape[1]}: expected {model.layer.input_size}, the layer's input_size"
        )
    scratch_layer = as_scratch_layer(model.layer)
    with torch.no_grad():
        traced = trace(scratch_layer, steps)
        probabilities = scores_after_each_step(model, steps).softmax(dim=1)
        difference = _difference(model.layer, traced, steps)
    gradients = gradient_norms(scratch_layer, model.readout, steps)
    return Observation(
        name=name or type(model.layer).__name__,
        image=image.cpu().numpy(),
        sequence=sequence,
        steps=steps.numpy(),
        class_names=class_names or tuple(map(str, range(probabilities.shape[1]))),
        label=label,
        probabilities=probabilities.numpy(),
        input_gradient=gradients.input.numpy(),
        difference=None if difference is None else difference.numpy(),
        recomputed=scratch_layer is not model.layer,
        cells=tuple(
            CellObservation(
                cell.layer,
                cell.reverse,
                gates={gate: value.numpy() for gate, value in cell.gates._asdict().items()},
                states={part: value.numpy() for part, value in cell.states.items()},
                gradients={part: value.numpy() for part, value in norms.items()},
            )
            for cell, norms in zip(traced, gradients.states, strict=True)
        ),
    )


def as_scratch_layer(layer: nn.Module) -> RecurrentStack:
    """The layer itself if it is hand-written, otherwise its hand-written counterpart.

    Raises:
        ExplorerError: the layer is neither hand-written nor torch.nn's.
    """
    scratch = layer if isinstance(layer, RecurrentStack) else from_torch(layer)
    if not isinstance(scratch, RecurrentStack):
        raise ExplorerError(
            f"cannot show the gates of {type(layer).__name__}: expected a layer of scratch_cells, "
            "a layer made by layer_of(YourCell), or torch.nn's RNN, GRU or LSTM"
        )
    return scratch


def scores_after_each_step(model: SequenceClassifier, steps: Tensor) -> Tensor:
    """The scores (logits) of the model if the sequence ended after each step, (T, classes).

    For one direction these are the readout of each step's hidden state. For two directions the
    reverse pass starts at the last step, so every prefix of the sequence needs its own forward
    pass. Only the prefixes that end with a time bin are computed; the other scores are NaN.
    """
    if model.directions == 1:
        outputs, _ = model.layer(steps)
        scores: Tensor = model.readout(outputs)  # (T, H) -> (T, classes)
        return scores
    last_steps = TimeBins.for_time(len(steps)).last_steps
    scores = steps.new_full((len(steps), model.readout.out_features), torch.nan)
    for start in range(0, len(last_steps), PREFIX_BATCH):
        chunk = last_steps[start : start + PREFIX_BATCH]
        prefixes = [steps[: last + 1] for last in chunk]
        scores[chunk] = model(pack_sequence(prefixes, enforce_sorted=False))
    return scores


def _difference(layer: nn.Module, traced: Trace, steps: Tensor) -> Tensor | None:
    """Largest |scratch - builtin| over the units of the outputs at each step, (T,)."""
    try:
        builtin = to_torch(layer)
    except TypeError:  # a custom cell
        return None
    difference: Tensor = traced.output - builtin(steps)[0]
    return difference.abs().amax(dim=1)


def _check(model: nn.Module, image: Tensor) -> None:
    if not isinstance(model, SequenceClassifier):
        raise ExplorerError(f"model is {type(model).__name__}: expected a SequenceClassifier")
    if image.dim() != 2 or image.dtype != torch.uint8:
        raise ExplorerError(
            f"image is {tuple(image.shape)} {image.dtype}: expected (height, width) uint8"
        )
