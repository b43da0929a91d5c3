"""The report for people: a rich table on a terminal, the same in plain text elsewhere."""

import io

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cell_verifier.report import Check, FirstDifference, Report

COLOURS = {"equal": "green", "different": "red", "unchecked": "yellow"}
MARKS = {True: "passed", False: "FAILED", None: "not made"}
PLAIN_WIDTH = 100


def show(report: Report, console: Console) -> None:
    """Print the report: colours and a table on a terminal, plain text where there is none."""
    if not console.is_terminal:
        console.print(plain_text(report), markup=False, highlight=False, soft_wrap=True)
        return
    colour = COLOURS[report.verdict]
    console.print(f"[bold {colour}]{report.verdict}[/]  {escape(headline(report))}")
    for line in explanation(report):
        console.print(escape(line), highlight=False)
    if report.checks:
        console.print(_table(report.checks))
    for note in report.notes:
        console.print(f"note  {escape(note)}", highlight=False)


def plain_text(report: Report) -> str:
    """The whole report, without colours."""
    lines = [f"{report.verdict}  {headline(report)}", *explanation(report)]
    if report.checks:
        lines.append("")
        width = max(len(check.name) for check in report.checks)
        for check in report.checks:
            lines.append(f"  {MARKS[check.passed]:8}  {check.name:{width}}  {_found(check)}")
    lines += ["", *(f"note  {note}" for note in report.notes)] if report.notes else []
    return "\n".join(lines)


def headline(report: Report) -> str:
    """The subject and the reason, in a line."""
    return f"{report.subject} against {report.against}: {report.reason}"


def explanation(report: Report) -> list[str]:
    """What was found: the call, the weights, and for each mistake what to change."""
    lines = []
    if report.convention:
        lines += ["", f"called as  {report.convention}"]
    if report.weights:
        width = max(map(len, report.weights))
        for n, (name, place) in enumerate(report.weights.items()):
            lines.append(f"{'weights' if n == 0 else '':9}  {name:{width}}  is {place}")
    for diagnosis in report.diagnoses:
        detail = f": {diagnosis.detail}" if diagnosis.detail else ""
        lines += [
            "",
            f"mistake    {diagnosis.id}{detail}",
            f"why        {diagnosis.why}",
            f"right      {diagnosis.right}",
            f"likely     {diagnosis.wrong}",
            f"fix        {diagnosis.fix}",
        ]
    if report.first_difference is not None:
        lines += ["", f"first      {_where(report.first_difference)}"]
    return lines


def _where(first: FirstDifference) -> str:
    text = (
        f"{first.of} differs at step {first.step}, sample {first.sample}, unit {first.unit}: "
        f"got {first.got:.6g}, expected {first.expected:.6g}"
    )
    if first.gate:
        text += f"; at fault: the {first.gate} gate"
    if first.depends_on:
        text += f"; the difference depends on the rows of: {', '.join(first.depends_on)}"
    return text


def _found(check: Check) -> str:
    if check.difference is None:
        return f"{check.covers}: {check.detail}" if check.detail else check.covers
    numbers = f"{check.difference:.1e}, may be {check.tolerance:.0e}"
    return f"{check.covers}: {numbers}{'; ' + check.detail if check.detail else ''}"


def _table(checks: tuple[Check, ...]) -> Table:
    table = Table("check", "covers", "result", "difference", "tolerance")
    for check in checks:
        colour = {True: "green", False: "red", None: "yellow"}[check.passed]
        table.add_row(
            check.name,
            escape(f"{check.covers}: {check.detail}" if check.detail else check.covers),
            f"[{colour}]{MARKS[check.passed]}[/]",
            "" if check.difference is None else f"{check.difference:.1e}",
            "" if check.tolerance is None else f"{check.tolerance:.0e}",
        )
    return table


def as_text(report: Report, width: int = PLAIN_WIDTH) -> str:
    """What a terminal of this width shows, without its colours."""
    buffer = io.StringIO()
    show(report, Console(file=buffer, width=width, force_terminal=True, color_system=None))
    return buffer.getvalue()
