"""Every backward pass of the collection gets the report that it deserves."""

import pytest

from cell_verifier.backward.catalogue import CATALOGUE, STEP_CATALOGUE
from tests.cell_verifier.backward.cases import RIGHT, WRONG, Case, report_of


def name_of(case: Case) -> str:
    return f"{case.file}-{'-and-'.join(case.mistakes)}"


@pytest.mark.parametrize("case", RIGHT, ids=name_of)
def test_a_right_backward_pass_is_equal(case: Case) -> None:
    report = report_of(case)
    assert (report.verdict, report.mistakes) == ("equal", ()), str(report)
    report.raise_if_different()


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG, ids=name_of)
def test_a_wrong_line_is_named(case: Case) -> None:
    report = report_of(case)
    assert (report.verdict, report.mistakes) == ("different", case.mistakes), str(report)


def test_at_least_15_mistakes_are_found_in_two_styles() -> None:
    styles: dict[str, set[str]] = {}
    for case in WRONG:
        for mistake in case.mistakes:
            styles.setdefault(mistake, set()).add(case.style)
    in_both = [each for each in CATALOGUE if styles.get(each) == {"numpy", "function"}]
    assert len(in_both) >= 25, in_both
    never = set(CATALOGUE) - styles.keys()
    assert never == set()


def test_every_kind_has_both_styles() -> None:
    assert {(case.against, case.style) for case in RIGHT} == {
        (kind, style) for kind in ("rnn", "gru", "lstm") for style in ("numpy", "function")
    }


def test_a_mistake_of_the_loop_is_not_found_in_a_step() -> None:
    assert "hidden-gradient-not-carried" in CATALOGUE.keys() - STEP_CATALOGUE.keys()
