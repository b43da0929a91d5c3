"""A trained classifier as JSON, for the engine of the live page (its ``SPEC`` in engine.js)."""

import base64
from typing import Any

import numpy as np
from torch import Tensor, nn

from gate_explorer.live.torch_layer import torch_layer_of
from sequenced_mnist import sequence_shape
from sequenced_mnist.sequencing import pixel_order
from shared_interface import SequenceClassifier

Spec = dict[str, Any]

CELLS = {nn.RNN: "rnn", nn.GRU: "gru", nn.LSTM: "lstm"}


def spec_of(
    model: SequenceClassifier,
    *,
    name: str,
    sequence: str,
    image_size: tuple[int, int],
    class_names: tuple[str, ...],
    accuracy: float | None = None,
) -> Spec:
    """Describe a classifier for the live page.

    Args:
        model: a classifier on a layer of scratch_cells or torch.nn, or on any layer that the
            verifier finds equal to torch.nn's.
        name: the name that the page shows.
        sequence: how an image is read: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        image_size: height and width of an image, in pixels.
        class_names: one for each logit.
        accuracy: of the test images, from 0 to 1, if it is known.

    Raises:
        ExplorerError: the engine does not have the equations of the layer.
    """
    height, width = image_size
    _, input_size = sequence_shape(height, width, sequence)
    layer = torch_layer_of(model, input_size, name)
    weights = {f"layer.{each}": value for each, value in layer.named_parameters()}
    weights |= {f"readout.{each}": value for each, value in model.readout.named_parameters()}
    return {
        "name": name,
        "cell": next(cell for kind, cell in CELLS.items() if isinstance(layer, kind)),
        "nonlinearity": getattr(layer, "nonlinearity", "tanh"),
        "input_size": layer.input_size,
        "hidden_size": layer.hidden_size,
        "proj_size": layer.proj_size,
        "num_layers": layer.num_layers,
        "bidirectional": layer.bidirectional,
        "bias": layer.bias,
        "height": height,
        "width": width,
        "sequence": sequence,
        "order": pixel_order(height * width).tolist() if sequence == "permuted" else None,
        "class_names": list(class_names),
        "accuracy": accuracy,
        "weights": {each: _base64(value) for each, value in weights.items()},
    }


def _base64(weight: Tensor) -> str:
    """The weight as little-endian float32, row by row, in base64."""
    values = weight.detach().cpu().numpy().astype(np.dtype("<f4"))
    return base64.b64encode(values.tobytes()).decode()
