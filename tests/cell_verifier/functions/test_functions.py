"""``verify`` judges plain functions and NumPy code."""

from typing import Any

import numpy as np
import pytest

from cell_verifier import verify
from cell_verifier.supervisor import judge
from tests.cell_verifier.cells.functions import numpy_code, torch_code
from tests.helpers.paths import ROOT

CASES: list[tuple[Any, str, str, tuple[str, ...]]] = [
    (numpy_code.rnn_step_forward, "rnn", "equal", ()),
    (numpy_code.rnn_step_without_bias, "rnn", "different", ("missing-bias",)),
    (numpy_code.rnn_forward, "rnn", "equal", ()),
    (numpy_code.rnn_forward_from_start, "rnn", "different", ()),
    (numpy_code.lstm_step_forward, "lstm", "different", ("gate-order",)),
    (
        numpy_code.lstm_step_without_tanh,
        "lstm",
        "different",
        ("missing-output-tanh", "gate-order"),
    ),
    (numpy_code.lstm_cell_forward, "lstm", "equal", ()),
    (numpy_code.lstm_cell_with_exchanged_gates, "lstm", "different", ("coupled-gates",)),
    (numpy_code.gru_step, "gru", "different", ("reset-before-matmul",)),
    (numpy_code.NumpyLSTM, "lstm", "equal", ()),
    (numpy_code.NumpyGRU, "gru", "equal", ()),
    (numpy_code.ExchangedUpdate, "gru", "different", ("swapped-update",)),
    (torch_code.gru_step_of_dictionary, "gru", "equal", ()),
    (torch_code.rnn_layer_of_list, "rnn", "equal", ()),
    (torch_code.lstm_step_of_attributes, "lstm", "equal", ()),
    (torch_code.lstm_step_with_wrong_cell, "lstm", "different", ("output-from-old-cell",)),
    (torch_code.rnn_step_of_keywords, "rnn", "equal", ()),
    (torch_code.detached, "rnn", "different", ("detached-state",)),
    (torch_code.closure, "rnn", "equal", ()),
]


@pytest.mark.parametrize(("code", "against", "verdict", "mistakes"), CASES)
def test_code_gets_its_verdict(
    code: Any, against: Any, verdict: str, mistakes: tuple[str, ...]
) -> None:
    report = verify(code, against)
    assert report.verdict == verdict, str(report)
    assert report.subject == code.__name__
    assert report.mistakes == mistakes, str(report)


def test_numpy_code_is_not_judged_on_gradients() -> None:
    report = verify(numpy_code.rnn_step_forward, "rnn")
    (check,) = (each for each in report.checks if each.name == "gradients")
    assert (check.passed, check.detail) == (None, "NumPy code gives none")


def test_a_wrong_line_of_a_function_of_tensors_is_located() -> None:
    report = verify(torch_code.lstm_step_with_wrong_cell, "lstm")
    assert [each.source for each in report.locations] == ["h = o.sigmoid() * c.tanh()"]


def test_shapes_can_be_given() -> None:
    code = torch_code.unusual_names
    report = verify(code, "rnn")
    assert report.verdict == "unchecked"
    assert "takes alpha, beta, gamma" in report.reason
    assert "pass weights={name: shape}" in report.reason
    shapes = {
        "alpha": (5, 7),
        "beta": np.zeros((7, 7)),
        "gamma": (7,),
        "delta": (7,),
        "epsilon": (7,),
    }
    report = verify(code, "rnn", weights=shapes, input_size=5, hidden_size=7)
    assert report.verdict == "equal", str(report)
    assert "pass also the input_size" in verify(code, "rnn", weights=shapes).reason
    ambiguous = verify(code, "rnn", weights={"alpha": (4, 2)}, input_size=4, hidden_size=2)
    assert "which is I and 2 H" in ambiguous.reason


def test_an_object_without_arrays_is_unchecked() -> None:
    class Empty:
        def __init__(self, input_size: int, hidden_size: int) -> None:
            pass

        def forward(self, x: Any, h: Any) -> Any:
            return h

    assert "or an object with arrays as attributes" in verify(Empty, "rnn").reason


def test_the_command_judges_a_function() -> None:
    target = ROOT / "tests" / "cell_verifier" / "cells" / "functions" / "numpy_code.py"
    report = judge(f"{target}:gru_step", "gru", 60)
    assert (report.verdict, report.mistakes) == ("different", ("reset-before-matmul",))
