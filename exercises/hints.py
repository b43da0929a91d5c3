"""Show the hints of an exercise, one level more at each request."""

from rich.console import Console

from exercises import display
from exercises.arguments import HINT_LEVELS
from exercises.exercise import Entry
from exercises.workspace import Workspace


def show_next_hint(workspace: Workspace, entry: Entry, limit: int, console: Console) -> None:
    """Show one level of hint more than before, and note it in the progress.

    Args:
        limit: the highest level that may be shown.
    """
    if limit == 0:
        display.line(console, "hints are switched off for this course")
        return
    level = min(workspace.load_progress().of(entry).hints + 1, limit)
    workspace.record_hint(entry, level)
    display.show_hints(console, entry, level, limit)


def solution_is_withheld(entry: Entry, limit: int) -> str | None:
    """Why the solution is not shown before success: a limit of the hints includes it. Or None.

    Args:
        limit: the highest level of hint that may be shown.
    """
    if limit == HINT_LEVELS:
        return None
    return (
        f"{entry.name} is not passed yet: hints are limited to level {limit}, "
        "so the solution is shown only after success"
    )
