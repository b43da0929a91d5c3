"""Write the tables of docs/results/public_reports.md.

``python -m tests.public_reports.table`` runs every case with both implementations, and writes the
tables if every outcome is the recorded one.
"""

import sys

from tests.helpers.paths import ROOT
from tests.public_reports.collection import ALL, by_topic
from tests.public_reports.report import IMPLEMENTATIONS, Report

PAGE = ROOT / "docs" / "results" / "public_reports.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
KINDS = ("works", "raises", "not supported", "wrong")


def tables() -> str:
    """The number of reports by outcome, and one table for each topic."""
    lines = ["| | " + " | ".join(KINDS) + " |", "|---|" + "---|" * len(KINDS)]
    for name in IMPLEMENTATIONS:
        kinds = [report.recorded(name).kind for report in ALL]
        lines.append(f"| `{name}` | " + " | ".join(str(kinds.count(kind)) for kind in KINDS) + " |")
    for topic, reports in by_topic().items():
        lines += ["", f"## {topic}", ""]
        lines += ["| report | what the test does | torch.nn | scratch_cells |", "|---|---|---|---|"]
        lines += map(_row, reports)
    return "\n".join(lines)


def _row(report: Report) -> str:
    link = f"[{report.label}]({report.address}): {_escaped(report.title, '|[')}"
    does = " ".join(str(report.case.__doc__).split())
    outcomes = (_escaped(str(report.recorded(name))) for name in IMPLEMENTATIONS)
    return f"| {link} | {_escaped(does)} | {' | '.join(outcomes)} |"


def _escaped(text: str, special: str = "|") -> str:
    """The text for a cell of a table, with a backslash before each special character."""
    return "".join(f"\\{each}" if each in special else each for each in text)


def with_tables(page: str) -> str:
    """The page with the recorded outcomes."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def differences() -> list[str]:
    """The outcomes that are not the recorded ones."""
    return [
        difference
        for report in ALL
        for name in IMPLEMENTATIONS
        if (difference := report.difference(name))
    ]


if __name__ == "__main__":
    if lines := differences():
        sys.exit("\n".join(lines))
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
