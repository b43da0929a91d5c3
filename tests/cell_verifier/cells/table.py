"""What docs/how-to/verify.md shows, from a run: ``python -m tests.cell_verifier.cells.table``.

Run so, it writes the table, and what the verifier says of the page's own cells, into the page.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from cell_verifier import verify
from cell_verifier.rendering import plain_text
from tests.cell_verifier.cells.collection import CASES, OUTSIDE, RIGHT, WRONG, Case, is_right

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "verify.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def table() -> str:
    """Right of all, by mistake and by style."""
    lines = ["| mistake | right / all | styles |", "|---|---|---|"]
    lines += _rows(WRONG, lambda case: case.mistakes[0])
    lines += ["", "| style | the right cell | wrong cells, right / all |", "|---|---|---|"]
    for case in RIGHT:
        wrong = [each for each in [*WRONG, *OUTSIDE] if each.style == case.style]
        equal = "equal" if is_right(case) else "NOT equal"
        lines.append(f"| {case.style} | {equal} | {_of(wrong)} |")
    lines += [
        "",
        f"Right cells said to be equal: {_of(RIGHT)}. Wrong cells diagnosed by their id and no "
        f"other: {_of(WRONG)}. Wrong cells outside the catalogue said to be different, and given "
        f"no name: {_of(OUTSIDE)}. All: {_of(CASES)}.",
    ]
    return "\n".join(lines)


def _rows(cases: list[Case], key: Callable[[Case], str]) -> Iterator[str]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    for name, members in groups.items():
        styles = len({case.style for case in members})
        yield f"| {name} | {_of(members)} | {styles} |"


def _of(cases: list[Case]) -> str:
    return f"{sum(map(is_right, cases))} / {len(cases)}"


def with_table(page: str) -> str:
    """The page with the table of this run in its place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


SHOWN = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<said>.*?)```", re.DOTALL)


def with_output(page: str) -> str:
    """The page with what the verifier says below each of its cells."""

    def said(match: re.Match[str]) -> str:
        module = ModuleType("my_lstm")
        exec(compile(match["code"], "my_lstm.py", "exec"), vars(module))
        report = plain_text(verify(module.MyLSTM, "lstm"))
        return f"```python\n{match['code']}```\n\n```text\n{report}\n```"

    return SHOWN.sub(said, page)


def numbers_hidden(page: str) -> str:
    """The page without the last digits, which differ from machine to machine."""
    return re.sub(r"\d\.\de[+-]\d\d, may", "N, may", page)


if __name__ == "__main__":
    written = with_output(with_table(PAGE.read_text(encoding="utf-8")))
    PAGE.write_text(written, encoding="utf-8")
