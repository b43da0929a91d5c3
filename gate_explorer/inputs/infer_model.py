"""Infer a classifier from its weights alone: parameter names and shapes determine the layer."""

from collections.abc import Mapping

import torch
from torch import Tensor

import builtin_models
from command_line.errors import one_line
from gate_explorer.errors import ExplorerError
from shared_interface import SequenceClassifier

LAYER_BY_ROW_BLOCKS = {1: "RNN", 3: "GRU", 4: "LSTM"}
"""Rows of the recurrent weight, in multiples of hidden_size -> the layer's class."""
REQUIRED = ("layer.weight_ih_l0", "layer.weight_hh_l0", "readout.weight")
PROJECTION = "layer.weight_hr_l0"


def infer_classifier(weights: Mapping[str, Tensor]) -> SequenceClassifier:
    """Build the SequenceClassifier, on a layer of torch.nn, that has these weights.

    Args:
        weights: the classifier's state_dict: ``layer.weight_ih_l0``, ..., ``readout.weight``,
            ``readout.bias``. The nonlinearity of an RNN cannot be inferred from its weights; it is
            assumed to be tanh.

    Raises:
        ExplorerError: a weight is missing, or its shape does not fit the other weights.
    """
    w_ih, w_hh, readout = (_matrix(weights, name) for name in REQUIRED)
    projection = _matrix(weights, PROJECTION) if PROJECTION in weights else None
    hidden_size = (w_hh if projection is None else projection).shape[1]
    layer_name = LAYER_BY_ROW_BLOCKS.get(w_hh.shape[0] // hidden_size)
    if layer_name is None or w_hh.shape[0] % hidden_size:
        raise ExplorerError(
            f"layer.weight_hh_l0 is {tuple(w_hh.shape)}: expected 1, 3 or 4 times hidden_size rows"
        )
    options = {} if projection is None else {"proj_size": projection.shape[0]}
    try:
        with torch.device("meta"):  # allocates nothing before the sizes have been compared
            layer = getattr(builtin_models, layer_name)(
                w_ih.shape[1],
                hidden_size,
                num_layers=sum(
                    name.startswith("layer.weight_ih_l") and not name.endswith("_reverse")
                    for name in weights
                ),
                bias="layer.bias_ih_l0" in weights,
                batch_first=True,
                bidirectional="layer.weight_ih_l0_reverse" in weights,
                **options,
            )
            model = SequenceClassifier(layer, readout.shape[0])
    except (ValueError, TypeError) as error:
        raise ExplorerError(f"weights fit no {layer_name}: {one_line(error)}") from error
    load_weights(model, weights)
    return model.float()


def _matrix(weights: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in weights:
        raise ExplorerError(
            f"weights have no {name!r}: expected the state_dict of a SequenceClassifier on "
            "torch.nn's RNN, GRU or LSTM"
        )
    weight = weights[name]
    if weight.dim() != 2 or 0 in weight.shape:
        raise ExplorerError(f"{name} is {tuple(weight.shape)}: expected two sizes of 1 or more")
    return weight


def load_weights(model: SequenceClassifier, weights: Mapping[str, Tensor]) -> None:
    """Make ``weights`` the parameters of ``model``.

    Raises:
        ExplorerError: a weight is missing, unexpected, or has the wrong shape.
    """
    try:
        model.load_state_dict(dict(weights), assign=True)
    except RuntimeError as error:
        first, *others = str(error).splitlines()
        problem = one_line(others[0] if others else first)
        raise ExplorerError(f"weights do not fit the model: {problem}") from error
