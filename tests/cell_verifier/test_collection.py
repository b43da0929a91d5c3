"""The verifier's report on every cell of the collection, and the pages written from these."""

import json

import pytest

from tests.cell_verifier.cells.collection import (
    CASES,
    OUTSIDE,
    RIGHT,
    Case,
    is_as_expected,
    report_of,
)
from tests.cell_verifier.cells.table import (
    GUIDE,
    RESULTS,
    differences_hidden,
    with_reports,
    with_table,
)


def name(case: Case) -> str:
    return "-".join([case.style, *case.mistakes])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name)
def test_report_has_exactly_the_expected_mistakes(case: Case) -> None:
    report = report_of(case)
    assert (report.verdict, report.mistakes) == (case.verdict, case.mistakes), str(report)
    assert report.seconds < 10


def test_a_pair_of_mistakes_is_found() -> None:
    changes = (
        ("o * torch.tanh(c_next)", "o * c_next"),
        ("i, f, g, o = gates", "i, f, o, g = gates"),
    )
    pair = Case("lstm_stacked_linear", "different", ("missing-output-tanh", "gate-order"), changes)
    assert is_as_expected(pair), str(report_of(pair))


def test_right_cells_are_many_and_import_nothing_of_this_project() -> None:
    assert len(RIGHT) >= 12
    for case in RIGHT:
        for package in ("scratch_cells", "builtin_models", "cell_verifier", "shared_interface"):
            assert package not in case.source()


def test_several_wrong_cells_are_outside_the_catalogue() -> None:
    assert len(OUTSIDE) >= 6


@pytest.mark.slow
def test_json_contains_no_nan_or_infinity() -> None:
    for case in OUTSIDE:
        json.loads(report_of(case).as_json(), parse_constant=pytest.fail)


def test_the_guide_shows_the_current_reports_of_its_cells() -> None:
    page = GUIDE.read_text(encoding="utf-8")
    assert page.count("```text") == 5
    assert differences_hidden(page) == differences_hidden(with_reports(page))


@pytest.mark.slow
def test_the_results_page_shows_the_current_table() -> None:
    page = RESULTS.read_text(encoding="utf-8")
    assert page == with_table(page), "python -m tests.cell_verifier.cells.table writes it"
