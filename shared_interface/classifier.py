"""Sequence classification: a recurrent layer and a linear readout."""

from typing import cast

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from shared_interface.recurrent import State, final_hidden


class SequenceClassifier(nn.Module):
    """A recurrent layer, and a linear readout of its final hidden state.

    Args:
        layer: any layer with torch.nn's interface: scratch, builtin, torch.nn's own, or the user's.
        num_classes: number of classes.
    """

    def __init__(self, layer: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.layer = layer
        self.directions = 2 if getattr(layer, "bidirectional", False) else 1
        state_size = cast(int, getattr(layer, "proj_size", 0) or layer.hidden_size)
        self.readout = nn.Linear(self.directions * state_size, num_classes)

    def forward(self, input: Tensor | PackedSequence, hx: State | None = None) -> Tensor:
        """Compute logits, (batch, num_classes), for any input that the layer accepts."""
        _, state = self.layer(input, hx)
        logits: Tensor = self.readout(final_hidden(state, self.directions))
        return logits


class StepwiseClassifier(SequenceClassifier):
    """A recurrent layer, and a linear readout of its output at each of the last time steps.

    Args:
        layer: as in ``SequenceClassifier``, with ``batch_first=True``.
        num_classes: number of classes.
        answers: number of time steps, at the end of a sequence, that are read out.
    """

    def __init__(self, layer: nn.Module, num_classes: int, answers: int) -> None:
        super().__init__(layer, num_classes)
        self.answers = answers

    def forward(self, input: Tensor | PackedSequence, hx: State | None = None) -> Tensor:
        """Compute logits, (batch, answers, num_classes), for input (batch, time, features)."""
        output, _ = self.layer(input, hx)
        logits: Tensor = self.readout(output[:, -self.answers :])
        return logits
