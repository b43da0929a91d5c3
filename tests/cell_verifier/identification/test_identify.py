"""Identification: parameters found by trial, by the user's mapping or by load_from_torch."""

import pytest
import torch
from torch import nn

from cell_verifier import verify
from cell_verifier.identification.identify import identify
from cell_verifier.reference.kinds import KINDS
from tests.cell_verifier.cells.collection import WRONG


class GateLinears(nn.Module):
    """An LSTM cell with one nn.Linear per gate; ``roles`` are the letters used as i, f, g, o."""

    roles = "ifgo"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for letter in "ifgo":
            setattr(self, f"W_{letter}", nn.Linear(input_size + hidden_size, hidden_size))

    def forward(self, x, state):
        h, c = state
        i, f, g, o = (getattr(self, f"W_{k}")(torch.cat([x, h], 1)) for k in self.roles)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class ExchangedNames(GateLinears):
    roles = "figo"


def test_separate_gates_are_matched_by_trial_and_misleading_names_are_noted() -> None:
    report = verify(ExchangedNames, "lstm")
    assert report.verdict == "equal"
    assert report.weights["W_f.weight"] == "weight_ih[input] | weight_hh[input]"
    assert any(note.startswith("roles: W_f.weight") for note in report.notes)
    assert not any(note.startswith("roles") for note in verify(GateLinears, "lstm").notes)


def test_the_users_mapping_is_binding() -> None:
    gates = {"W_i": "input", "W_f": "forget", "W_g": "candidate", "W_o": "output"}
    weights = {
        f"{name}.weight": f"weight_ih[{gate}] | weight_hh[{gate}]" for name, gate in gates.items()
    } | {f"{name}.bias": f"bias_ih[{gate}]" for name, gate in gates.items()}
    assert verify(GateLinears, "lstm", weights=weights).verdict == "equal"
    exchanged = verify(ExchangedNames, "lstm", weights=weights)
    assert exchanged.mistakes == ("swapped-input-forget",)
    assert exchanged.weights == weights


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"nowhere": "weight_ih"}, "is not a parameter"),
        ({"W_i.weight": "kernel"}, "expected weight_ih"),
        ({"W_i.weight": "weight_ih[left]"}, "'left' is not a gate"),
        ({"W_i.weight": "weight_ih"}, "which does not match weight_ih"),
    ],
)
def test_a_mapping_that_does_not_match_is_unchecked(weights: dict[str, str], words: str) -> None:
    report = verify(GateLinears, "lstm", weights=weights)
    assert report.verdict == "unchecked"
    assert words in report.reason


class OneVector(nn.Module):
    """An LSTM cell with all its weights in one vector, which only its own method can load."""

    factor = 1.0

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.sizes = input_size, hidden_size
        self.shapes = [(4 * hidden_size, input_size), (4 * hidden_size, hidden_size)]
        self.shapes += [(4 * hidden_size,)] * 2
        self.flat = nn.Parameter(torch.randn(sum(torch.Size(s).numel() for s in self.shapes)))

    def load_from_torch(self, module: nn.Module) -> None:
        with torch.no_grad():
            self.flat.copy_(torch.cat([part.flatten() for part in module.parameters()]))

    def forward(self, x, state):
        parts = self.flat.split([torch.Size(s).numel() for s in self.shapes])
        weights = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        h, c = torch.lstm_cell(x, state, *weights)
        return self.factor * h, c


class WrongOneVector(OneVector):
    factor = 0.5


def test_load_from_torch_is_used_if_parameters_cannot_be_matched() -> None:
    assert verify(OneVector, "lstm").verdict == "equal"
    report = verify(WrongOneVector, "lstm")
    assert (report.verdict, report.mistakes) == ("different", ())


class TensorWeights(nn.Module):
    """Weights that are tensors, not parameters."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.w = torch.randn(hidden_size, input_size + hidden_size)

    def forward(self, x, h):
        return torch.tanh(torch.cat([x, h], 1) @ self.w.T)


def test_without_a_correspondence_the_reason_lists_what_was_tried_and_what_to_add() -> None:
    report = verify(TensorWeights, "rnn")
    assert report.verdict == "unchecked"
    for words in ("joined", "weights={", "load_from_torch", "nn.Parameter"):
        assert words in report.reason


class Extra(nn.RNNCell):
    """An RNN cell with an additional parameter."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.slope = nn.Parameter(torch.ones(1))

    def forward(self, x, h):
        return self.slope * super().forward(x, h)


def test_a_parameter_without_a_torch_counterpart_is_a_difference() -> None:
    report = verify(Extra, "rnn")
    assert (report.verdict, report.mistakes) == ("different", ())
    assert "slope" in report.reason


class BatchAxisInFront(nn.Module):
    """A batch-first layer whose states are (B, 1, H)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, x, h):
        h, hs = h[:, 0], []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            hs.append(h)
        return torch.stack(hs, 1), h[:, None]


def test_states_may_be_batch_first() -> None:
    assert verify(BatchAxisInFront, "gru").verdict == "equal"


class NoBatchFirst(nn.LSTM):
    """A layer whose constructor raises for batch_first=True."""

    def __init__(self, input_size: int, hidden_size: int, batch_first: bool = False) -> None:
        if batch_first:
            raise NotImplementedError("batch_first")
        super().__init__(input_size, hidden_size)


def test_a_constructor_that_raises_for_batch_first_is_a_difference() -> None:
    report = verify(NoBatchFirst, "lstm")
    failed = [check for check in report.checks if check.passed is False]
    assert [check.name for check in failed] == ["batch_first"]
    assert "NotImplementedError" in failed[0].detail


@pytest.mark.parametrize(
    "mistake", ["missing-output-tanh", "detached-state", "reverse-not-flipped", "batch-time-mixup"]
)
def test_every_mistake_is_known_before_the_first_check(mistake: str) -> None:
    """Mistakes in outputs, gradients, several layers and options are all found by ``identify``."""
    case = next(each for each in WRONG if each.mistakes == (mistake,))
    identification = identify(case.make(), KINDS[case.against], None)
    assert tuple(each.id for each in identification.mistakes) == (mistake,)
