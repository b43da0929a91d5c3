"""Infer a classifier from its weights alone: parameter names and shapes determine the layer."""

from collections.abc import Mapping

from torch import Tensor

import builtin_models
from gate_explorer.errors import ExplorerError
from shared_interface import SequenceClassifier

LAYER_BY_ROW_BLOCKS = {1: "RNN", 3: "GRU", 4: "LSTM"}
"""Rows of the recurrent weight, in multiples of hidden_size -> the layer's class."""


def infer_classifier(weights: Mapping[str, Tensor]) -> SequenceClassifier:
    """Build the SequenceClassifier, on a layer of torch.nn, that has these weights.

    Args:
        weights: the classifier's state_dict: ``layer.weight_ih_l0``, ..., ``readout.weight``,
            ``readout.bias``. The nonlinearity of an RNN cannot be inferred from its weights; it is
            assumed to be tanh.

    Raises:
        ExplorerError: a weight is missing, or its shape does not fit the other weights.
    """
    try:
        w_ih, w_hh = weights["layer.weight_ih_l0"], weights["layer.weight_hh_l0"]
        readout = weights["readout.weight"]
    except KeyError as error:
        raise ExplorerError(
            f"weights have no {error}: expected the state_dict of a SequenceClassifier on "
            "torch.nn's RNN, GRU or LSTM"
        ) from None
    projection = weights.get("layer.weight_hr_l0")
    hidden_size = w_hh.shape[-1] if projection is None else projection.shape[-1]
    layer_name = LAYER_BY_ROW_BLOCKS.get(w_hh.shape[0] // hidden_size)
    if layer_name is None or w_hh.shape[0] % hidden_size:
        raise ExplorerError(
            f"layer.weight_hh_l0 is {tuple(w_hh.shape)}: expected 1, 3 or 4 times hidden_size rows"
        )
    options = {} if projection is None else {"proj_size": projection.shape[0]}
    layer = getattr(builtin_models, layer_name)(
        w_ih.shape[-1],
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
    load_weights(model, weights)
    return model


def load_weights(model: SequenceClassifier, weights: Mapping[str, Tensor]) -> None:
    """Load ``weights`` into ``model``.

    Raises:
        ExplorerError: a weight is missing, unexpected, or has the wrong shape.
    """
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        _, *problems = str(error).splitlines()
        raise ExplorerError(f"weights do not fit the model: {problems[0].strip()}") from error
