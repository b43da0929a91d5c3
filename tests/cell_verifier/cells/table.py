"""Write the generated parts of the verifier's two pages.

``python -m tests.cell_verifier.cells.table`` writes the reports below the cells of
docs/how-to/verify.md and the tables of docs/results/verifier.md.
"""

import linecache
import re
from collections.abc import Callable, Iterator
from types import ModuleType

from cell_verifier import verify
from cell_verifier.report import plain_text
from tests.cell_verifier.cells.collection import CASES, OUTSIDE, RIGHT, WRONG, Case, is_as_expected
from tests.helpers.paths import ROOT

GUIDE = ROOT / "docs" / "how-to" / "verify.md"
RESULTS = ROOT / "docs" / "results" / "verifier.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
CELL_AND_REPORT = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n.*?```", re.DOTALL)


def table() -> str:
    """The number of cells with the expected report, by mistake and by style."""
    lines = ["| mistake | as expected / all | styles |", "|---|---|---|"]
    lines += _rows(WRONG, lambda case: case.mistakes[0])
    lines += ["", "| style | the right cell | wrong cells, as expected / all |", "|---|---|---|"]
    for case in RIGHT:
        wrong = [each for each in [*WRONG, *OUTSIDE] if each.style == case.style]
        equal = "equal" if is_as_expected(case) else "NOT equal"
        lines.append(f"| {case.style} | {equal} | {_counts(wrong)} |")
    lines += [
        "",
        f"Right cells reported as equal: {_counts(RIGHT)}. Wrong cells reported with exactly their "
        f"mistake: {_counts(WRONG)}. Wrong cells outside the catalogue reported as different, "
        f"without a mistake: {_counts(OUTSIDE)}. All: {_counts(CASES)}.",
    ]
    return "\n".join(lines)


def _rows(cases: list[Case], key: Callable[[Case], str]) -> Iterator[str]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    for name, members in groups.items():
        styles = len({case.style for case in members})
        yield f"| {name} | {_counts(members)} | {styles} |"


def _counts(cases: list[Case]) -> str:
    return f"{sum(map(is_as_expected, cases))} / {len(cases)}"


def with_table(page: str) -> str:
    """The page with the tables of this run."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def with_reports(page: str) -> str:
    """The page with the verifier's report below each of its cells."""

    def with_report(match: re.Match[str]) -> str:
        module = ModuleType("my_lstm")
        lines = match["code"].splitlines(keepends=True)
        linecache.cache["my_lstm.py"] = (len(match["code"]), None, lines, "my_lstm.py")
        exec(compile(match["code"], "my_lstm.py", "exec"), vars(module))
        report = plain_text(verify(module.MyLSTM, "lstm"))
        return f"```python\n{match['code']}```\n\n```text\n{report}\n```"

    return CELL_AND_REPORT.sub(with_report, page)


def differences_hidden(page: str) -> str:
    """The page without the sizes of differences, whose last digits depend on the machine."""
    return re.sub(r"\d\.\de[+-]\d\d \(tolerance", "N (tolerance", page)


if __name__ == "__main__":
    GUIDE.write_text(with_reports(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    RESULTS.write_text(with_table(RESULTS.read_text(encoding="utf-8")), encoding="utf-8")
