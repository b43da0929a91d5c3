"""A report as a table in HTML, for Jupyter."""

from collections.abc import Sequence
from html import escape

COLOURS = {
    "equal": "#1a7f37",
    "different": "#cf222e",
    "unchecked": "#9a6700",
    "passed": "#1a7f37",
    "FAILED": "#cf222e",
    "skipped": "#9a6700",
}
"""Colour of each verdict and of each result of a check, legible on white and on black."""


def report_html(
    verdict: str,
    headline: str,
    explanation: Sequence[str],
    checks: Sequence[tuple[str, str, str]],
    notes: Sequence[str],
) -> str:
    """The HTML of a report.

    Args:
        verdict: equal, different or unchecked.
        headline: the subject and the reason in one line.
        explanation: the lines on the call, the weights and the mistakes.
        checks: result, name and comparison of each check.
        notes: remarks that are not errors.
    """
    parts = [f"<p>{_coloured(verdict)} {escape(headline)}</p>"]
    if explanation:
        lines = escape("\n".join(explanation).strip("\n"))
        parts.append(f"<pre>{lines}</pre>")
    if checks:
        rows = "".join(
            f"<tr><td>{_coloured(result)}</td><td>{escape(name)}</td>"
            f'<td style="text-align: left">{escape(text)}</td></tr>'
            for result, name, text in checks
        )
        header = "<tr><th>result</th><th>check</th><th>covers</th></tr>"
        parts.append(f"<table><thead>{header}</thead><tbody>{rows}</tbody></table>")
    if notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        parts.append(f"<ul>{items}</ul>")
    return f"<div>{''.join(parts)}</div>"


def _coloured(word: str) -> str:
    return f'<b style="color: {COLOURS[word]}">{escape(word)}</b>'
