"""The report: its content, and its use in a test suite."""

import pytest
from torch import nn

from cell_verifier import CellDifferentError, Report, verify
from tests.cell_verifier.cells.collection import WRONG, Case, report_of


def wrong_cell(mistake: str, style: str) -> Report:
    """The report on the cell of this style with this mistake."""
    return report_of(next(c for c in WRONG if c.mistakes == (mistake,) and c.style == style))


def test_gate_order_reports_the_order() -> None:
    (diagnosis,) = wrong_cell("gate-order", "lstm_stacked_linear").diagnoses
    assert diagnosis.detail == "rows are read as i, f, o, g"


def test_raise_if_different_raises_with_the_report() -> None:
    verify(nn.LSTM, against="lstm").raise_if_different()
    with pytest.raises(CellDifferentError, match="missing-output-tanh"):
        wrong_cell("missing-output-tanh", "lstm_stacked_linear").raise_if_different()


def test_detached_state_fails_only_the_gradients() -> None:
    report = wrong_cell("detached-state", "gru_loose_layer")
    assert [check.name for check in report.checks if check.passed is False] == ["gradients"]


def test_plain_text_lists_the_mistake_its_fix_and_every_check() -> None:
    report = wrong_cell("missing-output-tanh", "lstm_stacked_linear")
    lines = str(report).splitlines()
    assert lines[0].startswith("different  MyLSTM against lstm: matches torch.nn's LSTM with")
    assert "mistake    missing-output-tanh" in lines
    assert "fix        apply tanh to c' before multiplying by the output gate" in lines
    for check in report.checks:
        assert any(check.covers in line and check.name in line for line in lines)


@pytest.mark.parametrize(
    ("style", "note"),
    [
        ("lstm_gate_linears_joined", "merged-bias"),
        ("lstm_module_dict", "linear-init"),
        ("lstm_state_list_no_bias", "no-bias"),
        ("lstm_conv1d", "no-initial-state"),
        ("gru_float32_zeros", "float32-only"),
        ("lstm_cell_unused_head", "unused"),
    ],
)
def test_what_trains_or_compares_differently_is_a_note(style: str, note: str) -> None:
    assert note in [each.partition(":")[0] for each in report_of(Case(style, "equal")).notes]
    assert not report_of(Case("lstm_torch_names", "equal")).notes


def test_a_submodule_h_is_not_named_after_the_candidate_gate() -> None:
    notes = report_of(Case("lstm_nested_gates", "equal")).notes
    assert not any(note.startswith("roles") for note in notes)
