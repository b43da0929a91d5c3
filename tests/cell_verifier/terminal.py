"""What a report looks like on a terminal."""

import io

from rich.console import Console

from cell_verifier import Report
from cell_verifier.rendering import show


def as_text(report: Report, width: int) -> str:
    """What a terminal of this width shows, without colours."""
    buffer = io.StringIO()
    show(report, Console(file=buffer, width=width, force_terminal=True, color_system=None))
    return buffer.getvalue()
