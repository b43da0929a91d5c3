"""Everything that the pictures show of one model reading one image, as NumPy arrays."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from gate_explorer.errors import ExplorerError
from gate_explorer.observation.gradients import gradient_norms
from gate_explorer.observation.time_bins import Array, Rows
from scratch_cells import Trace, from_torch, to_torch, trace
from scratch_cells.layers import RecurrentStack
from sequenced_mnist import to_sequences
from shared_interface import SequenceClassifier

PREFIXES = 64  # of a sequence, read at once: bounds the memory that a bidirectional model takes


@dataclass(frozen=True, eq=False)
class CellObservation:
    """What one cell did.

    Attributes:
        layer, reverse: which cell of the stack: its layer, from 0, and its direction.
        gates: each gate by name, activated, (T, units).
        states: the state after each step by name, (T, units): ``hidden``, of an LSTM also ``cell``.
        gradients: norm of the gradient of the winning score with respect to each of ``states``,
            (T,).
    """

    layer: int
    reverse: bool
    gates: dict[str, Array]
    states: dict[str, Array]
    gradients: dict[str, Array]


@dataclass(frozen=True, eq=False)
class Observation:
    """What a classifier did while it read one image.

    Attributes:
        name: what to call the model.
        image: (height, width) uint8, upright.
        sequence: how it was read: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        steps: what was read, (T, features), from 0 (background) to 1 (ink).
        class_names: what each class stands for.
        label: the image's true class, None where it is not known.
        probabilities: what the model would answer if the sequence ended here, (T, classes). Of a
            bidirectional model and more steps than a picture has rows, NaN but where a row ends.
        input_gradient: norm of the gradient of the winning score with respect to x_t, (T,).
        difference: largest |scratch - builtin| of the layer's outputs at each step, (T,); None for
            a cell that torch.nn has no twin of.
        replayed: whether the model is torch.nn's, so that the gates are those of its hand-written
            twin.
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
    replayed: bool
    cells: tuple[CellObservation, ...]

    @property
    def time(self) -> int:
        """T, how many steps the sequence has."""
        return len(self.steps)

    @property
    def answer(self) -> int:
        """The class that the model names at the end."""
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
    """Watch ``model`` read ``image``; the model is left as it is.

    Args:
        model: a SequenceClassifier on a layer of scratch_cells, of a cell of your own, or torch.nn.
        image: (height, width) uint8.
        sequence: how the image is read.
        label: its true class, if known.
        class_names: what each class stands for; numbers if not given.
        name: what to call the model; the layer's class if not given.

    Raises:
        ExplorerError: the model or the image is not of this kind, or one does not fit the other.
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
    twin = scratch_twin(model.layer)
    with torch.no_grad():
        seen = trace(twin, steps)
        probabilities = scores_so_far(model, steps).softmax(dim=1)
        difference = _difference(model.layer, seen, steps)
    gradients = gradient_norms(twin, model.readout, steps)
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
        replayed=twin is not model.layer,
        cells=tuple(
            CellObservation(
                cell.layer,
                cell.reverse,
                gates={gate: value.numpy() for gate, value in cell.gates._asdict().items()},
                states={part: value.numpy() for part, value in cell.states.items()},
                gradients={part: value.numpy() for part, value in norms.items()},
            )
            for cell, norms in zip(seen, gradients.states, strict=True)
        ),
    )


def scratch_twin(layer: nn.Module) -> RecurrentStack:
    """The layer itself if it is hand-written, otherwise its hand-written twin.

    Raises:
        ExplorerError: it is neither hand-written nor torch.nn's.
    """
    twin = layer if isinstance(layer, RecurrentStack) else from_torch(layer)
    if not isinstance(twin, RecurrentStack):
        raise ExplorerError(
            f"cannot look inside {type(layer).__name__}: expected a layer of scratch_cells, of a "
            "Cell of your own, or torch.nn's RNN, GRU or LSTM"
        )
    return twin


def scores_so_far(model: SequenceClassifier, steps: Tensor) -> Tensor:
    """What the model would answer if the sequence ended after each step: scores (T, classes).

    In one direction these are the readout of each step's hidden state. In two the reverse half
    begins at the end, so that every shorter sequence is another walk: each prefix is read anew,
    and of long sequences only those that end where a row of the picture ends; the others are NaN.
    """
    if model.directions == 1:
        outputs, _ = model.layer(steps)
        scores: Tensor = model.readout(outputs)  # (T, H) -> (T, classes)
        return scores
    ends = Rows.for_time(len(steps)).ends
    scores = steps.new_full((len(steps), model.readout.out_features), torch.nan)
    for start in range(0, len(ends), PREFIXES):
        chunk = ends[start : start + PREFIXES]
        prefixes = [steps[: end + 1] for end in chunk]
        scores[chunk] = model(pack_sequence(prefixes, enforce_sorted=False))
    return scores


def _difference(layer: nn.Module, traced: Trace, steps: Tensor) -> Tensor | None:
    """Largest |scratch - builtin| over the units of the outputs at each step, (T,)."""
    try:
        builtin = to_torch(layer)
    except TypeError:  # a cell of the user's own
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
