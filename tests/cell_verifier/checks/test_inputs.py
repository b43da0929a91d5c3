"""Unbatched input, packed input and proj_size: compared where the module takes them."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import scratch_cells
from cell_verifier import Report, verify
from cell_verifier.reference.kinds import Against


def results(report: Report) -> dict[str, bool | None]:
    names = ("unbatched", "packed", "proj_size")
    return {check.name: check.passed for check in report.checks if check.name in names}


@pytest.mark.parametrize("layer", [nn.LSTM, scratch_cells.LSTM])
def test_all_three_are_compared_for_a_layer_that_takes_them(layer: type[nn.Module]) -> None:
    report = verify(layer, "lstm")
    assert results(report) == {"unbatched": True, "packed": True, "proj_size": True}


def test_a_layer_that_takes_none_of_them_gets_no_check() -> None:
    class Strict(nn.RNNCell):
        def forward(self, x, h):
            if x.dim() != 2:
                raise ValueError("x must be (B, I)")
            return super().forward(x, h)

    report = verify(Strict, "rnn")
    assert (report.verdict, results(report)) == ("equal", {})


class WrongPacked(nn.GRU):
    def forward(self, x, h=None):
        output, final = super().forward(x, h)
        return output, torch.zeros_like(final) if isinstance(x, PackedSequence) else final


class WrongUnbatched(nn.RNN):
    def forward(self, x, h=None):
        output, final = super().forward(x, h)
        return (output.flip(0) if isinstance(x, torch.Tensor) and x.dim() == 2 else output), final


class WrongUnbatchedCell(nn.GRUCell):
    def forward(self, x, h=None):
        return super().forward(x, h) + (x.dim() == 1)


class WrongProjection(nn.LSTM):
    def forward(self, x, hx=None):
        output, state = super().forward(x, hx)
        return (2 * output if self.proj_size else output), state


class NoProjection(nn.LSTM):
    def __init__(self, input_size: int, hidden_size: int, proj_size: int = 0) -> None:
        if proj_size:
            raise NotImplementedError("proj_size")
        super().__init__(input_size, hidden_size)


@pytest.mark.parametrize(
    ("make", "against", "name"),
    [
        (WrongPacked, "gru", "packed"),
        (WrongUnbatched, "rnn", "unbatched"),
        (WrongUnbatchedCell, "gru", "unbatched"),
        (WrongProjection, "lstm", "proj_size"),
        (NoProjection, "lstm", "proj_size"),
    ],
)
def test_a_wrong_result_for_such_an_input_is_a_difference(
    make: type[nn.Module], against: Against, name: str
) -> None:
    report = verify(make, against)
    assert report.verdict == "different"
    assert [check.name for check in report.checks if check.passed is False] == [name]
