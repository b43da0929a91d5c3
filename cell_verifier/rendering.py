"""Print a report: a rich table on a terminal, plain text elsewhere."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cell_verifier.checks.check import Check
from cell_verifier.report import (
    RESULT_WORDS,
    Report,
    explanation,
    headline,
    located,
    plain_text,
)
from command_line.errors import printable

VERDICT_COLOURS = {"equal": "green", "different": "red", "unchecked": "yellow"}
RESULT_COLOURS = {True: "green", False: "red", None: "yellow"}


def show(report: Report, console: Console) -> None:
    """Print the report: colours and a table if the console is a terminal, else plain text."""
    if not console.is_terminal:
        console.print(plain_text(report), markup=False, highlight=False, soft_wrap=True)
        return
    colour = VERDICT_COLOURS[report.verdict]
    console.print(f"[bold {colour}]{report.verdict}[/]  {escape(headline(report))}")
    for source, *lines in located(report):
        console.print(f"\n[bold red]{escape(source)}[/]", highlight=False)
        for line in lines:
            console.print(escape(line), highlight=False)
    for line in explanation(report):
        console.print(escape(line), highlight=False)
    if report.checks:
        console.print(_table(report.checks))
    for note in report.notes:
        console.print(f"note  {escape(printable(note))}", highlight=False)


def _table(checks: tuple[Check, ...]) -> Table:
    table = Table("check", "covers", "result", "difference", "tolerance")
    for check in checks:
        table.add_row(
            check.name,
            escape(printable(f"{check.covers}: {check.detail}" if check.detail else check.covers)),
            f"[{RESULT_COLOURS[check.passed]}]{RESULT_WORDS[check.passed]}[/]",
            "" if check.difference is None else f"{check.difference:.1e}",
            "" if check.tolerance is None else f"{check.tolerance:.0e}",
        )
    return table
