"""The report as Jupyter shows it."""

from html.parser import HTMLParser

from torch import nn

from cell_verifier import verify
from cell_verifier.report import Report
from tests.cell_verifier.cells.collection import WRONG


def tags_of(html: str) -> list[str]:
    """The start and end tags, in order."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append(tag)
    parser.handle_endtag = lambda tag: found.append(f"/{tag}")
    parser.feed(html)
    return found


def test_a_report_is_a_table_with_a_row_for_each_check() -> None:
    report = verify(nn.GRUCell, "gru")
    tags = tags_of(report._repr_html_())
    assert tags.count("tr") == len(report.checks) + 1
    assert all(tags.count(tag) == tags.count(f"/{tag}") for tag in ("tr", "td", "table", "div"))


def test_a_mistake_and_its_fix_are_shown() -> None:
    case = next(each for each in WRONG if each.mistakes == ("missing-output-tanh",))
    html = verify(case.make(), case.against)._repr_html_()
    assert "missing-output-tanh" in html
    assert "FAILED" in html


def test_the_users_text_is_escaped() -> None:
    report = Report("<lambda>", "rnn", "unchecked", "raises: a < b & c")
    assert "&lt;lambda&gt; against rnn: raises: a &lt; b &amp; c" in report._repr_html_()
    assert "<lambda>" not in report._repr_html_()
