"""What the commands print: exercises, results, hints, progress. Imports no torch."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from command_line.errors import printable
from exercises.arguments import HINT_LEVELS
from exercises.exercise import Entry, all_exercises, part_title
from exercises.result import Result, Status, text_lines
from exercises.workspace import Progress, Workspace

BAR_WIDTH = 40
COLOURS: dict[Status, str] = {
    "passed": "green",
    "failed": "red",
    "unwritten": "yellow",
    "error": "red",
    "missing": "yellow",
}


def line(console: Console, text: str, style: str = "") -> None:
    """Print text as it is: on a terminal in a style, and without line breaks of its own."""
    console.print(escape(text), style=style or None, highlight=False, soft_wrap=True)


def show_exercise(console: Console, workspace: Workspace, entry: Entry) -> None:
    """The title, the file and the explanation of an exercise."""
    total = len(all_exercises())
    line(console, f"Exercise {entry.number} of {total}: {entry.title}", "bold")
    line(console, f"{part_title(entry.part)}, about {entry.exercise.minutes} minutes")
    line(console, f"edit  {printable(workspace.path(entry))}", "bold")
    line(console, "")
    line(console, entry.docstring.partition("\n")[2].strip())


def show_result(console: Console, result: Result) -> None:
    """What a check found, the place and the statement first."""
    first, *more = text_lines(result)
    line(console, first, f"bold {COLOURS[result.status]}")
    for each in more:
        line(console, each)


def show_hints(console: Console, entry: Entry, level: int, limit: int) -> None:
    """The hints of an exercise up to a level."""
    for n, hint in enumerate(entry.exercise.hints[:level], 1):
        line(console, f"hint {n} of {HINT_LEVELS}  {hint}", "cyan")
    if limit < HINT_LEVELS and level == limit:
        line(console, f"hints above level {limit} are switched off for this course")


def show_solution(console: Console, entry: Entry) -> None:
    """The complete file of an exercise."""
    line(console, entry.template.solution())


def show_list(console: Console, progress: Progress) -> None:
    """All exercises, with what is done."""
    width = max(len(entry.name) for entry in all_exercises())
    part = ""
    for entry in all_exercises():
        if entry.part != part:
            part = entry.part
            line(console, part_title(part), "bold")
        is_passed = progress.is_passed(entry)
        mark = ">" if entry.name == progress.current else " "
        done = "passed" if is_passed else f"{entry.exercise.minutes:2} min"
        text = f"{mark} {entry.number:2}  {entry.name:{width}}  {done:6}  {entry.title}"
        line(console, text, "green" if is_passed else "")


def show_progress(console: Console, progress: Progress) -> None:
    """The bar, and one line a part."""
    line(console, progress_bar(progress))
    entries = all_exercises()
    for part in dict.fromkeys(entry.part for entry in entries):
        members = [entry for entry in entries if entry.part == part]
        passed = sum(map(progress.is_passed, members))
        line(console, f"{passed:3} of {len(members):2}  {part_title(part)}")
    records = progress.records.values()
    hints = sum(record.hints for record in records)
    shown = sum(record.solution_shown for record in records)
    checks = sum(record.checks for record in records)
    line(console, f"checks {checks}, hints {hints}, solutions seen before success {shown}")


def progress_bar(progress: Progress) -> str:
    """``[#####-----] 5 of 10 exercises passed``."""
    entries = all_exercises()
    passed = sum(map(progress.is_passed, entries))
    filled = round(BAR_WIDTH * passed / len(entries))
    bar = "#" * filled + "-" * (BAR_WIDTH - filled)
    return f"[{bar}] {passed} of {len(entries)} exercises passed"


def show_summary(console: Console, results: Sequence[Result]) -> None:
    """One line a result, for many exercises."""
    for result in results:
        where = "" if result.passed else f"  {result.place}  {result.message}"
        text = f"{result.status:9}  {result.exercise}{where}"
        line(console, printable(text), COLOURS[result.status])
