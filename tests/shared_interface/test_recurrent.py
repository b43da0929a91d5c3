"""The final hidden state, the classifier on it, and the way from a flag to a class."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import builtin_models
import scratch_cells
from shared_interface import (
    RecurrentLayer,
    SequenceClassifier,
)

LAYERS = [
    pytest.param(getattr(package, kind), id=f"{package.__name__}.{kind}")
    for package in (scratch_cells, builtin_models)
    for kind in ("RNN", "GRU", "LSTM")
]


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_final_hidden(layer_class: type[RecurrentLayer], bidirectional: bool) -> None:
    """Each sequence's own last step forward, its own first step in reverse."""
    torch.manual_seed(0)
    layer = layer_class(3, 4, 2, bidirectional=bidirectional)
    assert isinstance(layer, RecurrentLayer)
    sequences = [torch.randn(length, 3) for length in (2, 5, 3)]
    _, state = layer(pack_sequence(sequences, enforce_sorted=False))
    final = layer.final_hidden(state)
    assert final.shape == (3, 8 if bidirectional else 4)
    for sample, x in enumerate(sequences):
        output, alone = layer(x)
        torch.testing.assert_close(final[sample, :4], output[-1, :4])
        torch.testing.assert_close(final[sample, 4:], output[0, 4:])
        torch.testing.assert_close(layer.final_hidden(alone), final[sample])


@pytest.mark.parametrize("layer_class", LAYERS)
def test_classifier_reads_the_final_hidden_state(layer_class: type[RecurrentLayer]) -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(layer_class(3, 4, batch_first=True), 10)
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(model(x), model.readout(model.layer(x)[0][:, -1]))
    both = SequenceClassifier(layer_class(3, 4, batch_first=True, bidirectional=True), 10)
    output, _ = both.layer(x)
    ends = torch.cat([output[:, -1, :4], output[:, 0, 4:]], dim=-1)
    torch.testing.assert_close(both(x), both.readout(ends))


def test_classifier_takes_any_layer_with_torchs_interface() -> None:
    model = SequenceClassifier(nn.LSTM(3, 4, proj_size=2, bidirectional=True), 10)
    assert model(torch.randn(5, 2, 3)).shape == (2, 10)
