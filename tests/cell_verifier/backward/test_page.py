"""The page on backward passes has the catalogue's table and the reports that its code prints.

``python -m tests.cell_verifier.backward.test_page`` writes both.
"""

import contextlib
import io
import re
import tempfile
from pathlib import Path
from types import ModuleType

from cell_verifier.backward.catalogue import ANY_TERM, CATALOGUE
from tests.helpers.paths import ROOT

PAGE = ROOT / "docs" / "how-to" / "verify_a_backward_pass.md"
TABLE = re.compile(r"<!-- table: begin -->\n.*<!-- table: end -->", re.DOTALL)
CODE_AND_REPORT = re.compile(r"```python\n(?P<code>[^`]*)```\n\n```text\n[^`]*```")
DIFFERENCE = re.compile(r"\d\.\de[-+]\d\d")


def generated() -> str:
    """The page with a new table and new reports."""
    page = CODE_AND_REPORT.sub(_with_report, PAGE.read_text(encoding="utf-8"))
    rows = ["| mistake | cells | effect |", "|---|---|---|"]
    for each in (*CATALOGUE.values(), *ANY_TERM.values()):
        rows.append(f"| `{each.id}` | {', '.join(each.kinds).upper()} | {each.why} |")
    table = "\n".join(("<!-- table: begin -->", *rows, "<!-- table: end -->"))
    return TABLE.sub(lambda _: table, page)


def _with_report(match: re.Match[str]) -> str:
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed):
        file = Path(folder) / "my_backward.py"  # the verifier reads the source
        file.write_text(match["code"], encoding="utf-8")
        exec(compile(match["code"], file, "exec"), vars(ModuleType("page")))
    return f"```python\n{match['code']}```\n\n```text\n{printed.getvalue()}```"


def test_the_page_is_up_to_date() -> None:
    """Except for the size of the differences: rounding errors differ between machines."""
    page = PAGE.read_text(encoding="utf-8")
    assert DIFFERENCE.sub("#", generated()) == DIFFERENCE.sub("#", page)


if __name__ == "__main__":
    PAGE.write_text(generated(), encoding="utf-8")
