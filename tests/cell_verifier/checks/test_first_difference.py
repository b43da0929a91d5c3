"""Where the outputs first differ, and on which gates an unknown difference depends."""

from tests.cell_verifier.cells.collection import Case, report_of
from tests.cell_verifier.test_report import wrong_cell


def test_the_first_difference_has_step_and_gate() -> None:
    report = wrong_cell("missing-output-tanh", "lstm_stacked_linear")
    first = report.first_difference
    assert first is not None
    assert (first.of, first.step, first.gate) == ("h", 0, "output")
    assert abs(first.got - first.expected) > 1e-6
    not_carried = wrong_cell("cell-not-carried", "lstm_conv1d").first_difference
    assert not_carried is not None
    assert not_carried.step == 1  # from a zero state the first step is correct


def test_an_unknown_difference_reports_the_gates_that_it_depends_on() -> None:
    changes = (("(1 - z) * n + z * h", "(1 - z) * n + h"),)
    first = report_of(Case("gru_stacked_linear", "different", (), changes)).first_difference
    assert first is not None
    assert first.depends_on == ("update",)
