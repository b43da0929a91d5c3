"""The checks that find a difference although the outputs are those of torch.nn."""

import torch
from torch import nn

from cell_verifier import verify


class DetachedWeight(nn.RNNCell):
    """Its outputs are correct; one weight receives no gradient."""

    def forward(self, x, h):
        recurrent = nn.functional.linear(h, self.weight_hh.detach(), self.bias_hh)
        return torch.tanh(nn.functional.linear(x, self.weight_ih, self.bias_ih) + recurrent)


def test_a_missing_gradient_is_a_difference() -> None:
    report = verify(DetachedWeight, "rnn")
    failed = [check for check in report.checks if check.passed is False]
    assert [check.name for check in failed] == ["gradients"]
    assert failed[0].detail == "wrong for weight_hh"
    assert report.mistakes == ()


class ChangesItsInput(nn.RNNCell):
    """Its outputs are correct; it changes the caller's input in place."""

    def forward(self, x, h):
        new = super().forward(x.clone(), h)
        x.detach().add_(1.0)
        return new


def test_an_input_changed_in_place_is_a_difference() -> None:
    report = verify(ChangesItsInput, "rnn")
    failed = [check.name for check in report.checks if check.passed is False]
    # The backward pass raises too: autograd detects that a saved tensor was changed in place.
    assert failed == ["gradients", "no in-place changes"]
    assert report.mistakes == ()


class DependsOnTheCallBefore(nn.RNN):
    """Its outputs are correct unless the call before had batch size 2."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.small_before = False

    def forward(self, x, h=None):
        output, state = super().forward(x, h)
        output = output * 1.1 if self.small_before else output
        self.small_before = x.size(1) == 2
        return output, state


def test_a_result_that_depends_on_the_call_before_is_a_difference() -> None:
    report = verify(DependsOnTheCallBefore, "rnn")
    assert [check.name for check in report.checks if check.passed is False] == ["deterministic"]
