"""``verify`` finds mistakes in the backward pass of a module that uses an autograd.Function."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cell_verifier import Report, verify
from tests.cell_verifier.backward.cases import Case

Changes = tuple[tuple[str, str], ...]


def layer(file: str, changes: Changes, bias: bool = True) -> type[nn.Module]:
    """A module with torch.nn's parameters that applies the file's Function."""
    case = Case(file, changes=changes)
    function: Any = case.module().FORWARD
    gates = {"lstm": 4, "gru": 3}[case.against]

    class MyLayer(nn.Module):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__()
            self.w_ih = nn.Parameter(torch.randn(gates * hidden_size, input_size))
            self.w_hh = nn.Parameter(torch.randn(gates * hidden_size, hidden_size))
            self.b_ih = nn.Parameter(torch.randn(gates * hidden_size))
            self.b_hh = nn.Parameter(torch.randn(gates * hidden_size))

        def forward(self, x: Tensor, state: Any) -> Any:
            weights = (self.w_ih, self.w_hh, self.b_ih, self.b_hh)
            if case.against == "gru":
                output = function.apply(x, state[0], *weights)
                return output, output[:, -1][None]
            output, h, c = function.apply(x, state[0][0], state[1][0], *weights)
            return output, (h[None], c[None])

    return MyLayer


class RNNCell(nn.Module):
    """One step with one joined weight; the Function's argument order is the tutorial's."""

    changes: Changes = ()

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(hidden_size, hidden_size + input_size))
        self.bias = nn.Parameter(torch.randn(hidden_size))
        self.function: Any = Case("rnn_function", changes=self.changes).module().FORWARD

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        result: Tensor = self.function.apply(x, self.weight, self.bias, h)
        return result


@cache
def report_of(file: str, *changes: tuple[str, str]) -> Report:
    if file == "rnn_function":
        return verify(type("MyCell", (RNNCell,), {"changes": changes}), against="rnn")
    return verify(layer(file, changes), against=file.partition("_")[0])


@pytest.mark.parametrize("file", ["rnn_function", "gru_function", "lstm_function"])
def test_a_right_backward_pass_is_equal(file: str) -> None:
    report = report_of(file)
    assert report.verdict == "equal", str(report)


@pytest.mark.parametrize(
    ("file", "change", "mistake"),
    [
        ("rnn_function", (" * (1 - new_h ** 2)", ""), "missing-tanh-derivative"),
        ("rnn_function", ("d_a.sum(dim=0)", "d_a.mean(dim=0)"), "averaged-over-batch"),
        ("gru_function", ("dh = dh * z + d_h", "dh = d_h"), "missing-direct-path"),
        ("gru_function", ("dn * r]", "dn]"), "missing-reset-factor"),
        ("gru_function", ("dh * (old_h - n)", "dh * old_h"), "update-gate-term-missing"),
        ("lstm_function", ("dc + dh * o * (1 - tanh_c ** 2)", "dc"), "missing-path-through-cell"),
        ("lstm_function", ("dc = dc * f\n", "dc = dc\n"), "missing-forget-factor"),
        ("lstm_function", ("dw_hh +=", "dw_hh ="), "overwritten-over-time"),
        ("lstm_function", ("dh, dc = grad_h,", "dh, dc = 0,"), "final-state-gradient-ignored"),
        ("lstm_function", ("db, db.clone()", "db, None"), "gradient-is-zero"),
    ],
)
def test_a_wrong_backward_pass_is_named(file: str, change: tuple[str, str], mistake: str) -> None:
    report = report_of(file, change)
    assert (report.verdict, report.mistakes) == ("different", (mistake,)), str(report)
    failed = {check.name for check in report.checks if check.passed is False}
    assert failed == {"gradients"}, str(report)


def test_the_report_has_the_line_of_the_derivation() -> None:
    report = report_of("lstm_function", ("dc = dc * f\n", "dc = dc\n"))
    (diagnosis,) = report.diagnoses
    assert (diagnosis.right, diagnosis.wrong) == ("dc = dc'_total ⊙ f", "dc = dc'_total")
    assert report.reason == "matches torch.nn's LSTM with missing-forget-factor"


def test_an_unknown_mistake_stays_unknown() -> None:
    report = report_of("lstm_function", ("return dx, dh, dc", "return dx.sin(), dh.sin(), dc"))
    assert (report.verdict, report.mistakes) == ("different", ())
