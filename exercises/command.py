"""``python -m exercises``: the actions."""

import json
import sys
from pathlib import Path

from rich.console import Console

from command_line.errors import ConfigError, printable
from command_line.files import atomic_write, write_errors_as_config_errors
from command_line.program import clean_exit, parse_arguments
from exercises import display
from exercises.arguments import PROGRAM, Arguments
from exercises.exercise import Entry, all_exercises, find_exercise
from exercises.hints import show_next_hint, solution_is_withheld
from exercises.result import Result
from exercises.runner import check
from exercises.workspace import Workspace, next_exercise

ALL = "all"


def main(arguments: Arguments, console: Console) -> int:
    """Do what the arguments name and return the exit status.

    Raises:
        ConfigError: an argument, a file or a folder cannot be used.
    """
    actions = {
        "watch": _watch,
        "list": _list,
        "check": _check,
        "hint": _hint,
        "reset": _reset,
        "solution": _solution,
        "progress": _progress,
        "grade": _grade,
        "notebooks": _notebooks,
    }
    return actions[arguments.action](arguments, Workspace(arguments.folder), console)


def _watch(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    from exercises.watch import watch

    entry = _entry(arguments, workspace)
    watch(workspace, entry, console, arguments.hint_limit)
    return 0


def _list(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    display.show_list(console, workspace.load_progress())
    return 0


def _check(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    """Status 0 if everything that was checked is right, else 1."""
    if arguments.name == ALL:
        results = [check(entry, workspace.path(entry), arguments.seed) for entry in all_exercises()]
        for result in results:
            if result.status != "missing":
                workspace.record_check(find_exercise(result.exercise), result.passed)
        display.show_summary(console, results)
    else:
        results = [_check_one(_entry(arguments, workspace), arguments, workspace, console)]
    if arguments.json is not None:
        write_json("--json", arguments.json, results)
    return 0 if all(result.passed for result in results) else 1


def _check_one(
    entry: Entry, arguments: Arguments, workspace: Workspace, console: Console
) -> Result:
    if workspace.create_copy(entry):
        display.line(console, f"created {printable(workspace.path(entry))}")
    result = check(entry, workspace.path(entry), arguments.seed)
    progress = workspace.record_check(entry, result.passed)
    display.show_result(console, result)
    if result.passed:
        display.line(console, display.progress_bar(progress))
    else:
        display.line(console, f"\n{PROGRAM} hint {entry.name} shows a hint")
    return result


def _hint(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    show_next_hint(workspace, _entry(arguments, workspace), arguments.hint_limit, console)
    return 0


def _reset(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    entry = _entry(arguments, workspace)
    path = printable(workspace.path(entry))
    if workspace.path(entry).exists() and not _confirmed(f"replace {path}?", arguments, console):
        display.line(console, "nothing was changed")
        return 1
    backup = workspace.reset(entry)
    display.line(console, f"{path} is the original exercise again")
    if backup is not None:
        display.line(console, f"your file is kept as {printable(backup)}")
    return 0


def _solution(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    entry = _entry(arguments, workspace)
    if not workspace.load_progress().is_passed(entry):
        if (reason := solution_is_withheld(entry, arguments.hint_limit)) is not None:
            raise ConfigError(reason)
        question = f"{entry.name} is not passed yet: show the solution?"
        if not _confirmed(question, arguments, console):
            return 1
        workspace.record_solution(entry)
    display.show_solution(console, entry)
    return 0


def _progress(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    display.show_progress(console, workspace.load_progress())
    return 0


def _grade(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    from exercises.grading import grade_class, show_grades, write_csv

    grades = grade_class(Path(str(arguments.name)), arguments.seed, console)
    show_grades(console, grades)
    if arguments.csv is not None:
        write_csv(arguments.csv, grades)
    if arguments.json is not None:
        content = {student: [each.as_dict() for each in some] for student, some in grades.items()}
        _write_json("--json", arguments.json, content)
    return 0


def _notebooks(arguments: Arguments, workspace: Workspace, console: Console) -> int:
    from exercises.notebooks import write_notebooks

    folder = Path(arguments.name) if arguments.name else workspace.folder / "notebooks"
    for path, is_new in write_notebooks(folder, arguments.nbgrader):
        note = "" if is_new else " exists and was not changed"
        display.line(console, f"{printable(path)}{note}")
    return 0


def _entry(arguments: Arguments, workspace: Workspace) -> Entry:
    """The exercise that is named, or the one to work on."""
    if arguments.name is not None:
        return find_exercise(arguments.name)
    entry = next_exercise(workspace.load_progress())
    return entry or all_exercises()[-1]


def _confirmed(question: str, arguments: Arguments, console: Console) -> bool:
    """Whether the learner answers yes.

    Raises:
        ConfigError: there is no terminal to ask on.
    """
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Add --yes to answer yes")
    console.print(f"{question} [y/N] ", end="", markup=False, highlight=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def write_json(option: str, path: Path, results: list[Result]) -> None:
    """Write results for a grader.

    Raises:
        ConfigError: the file cannot be written.
    """
    passed = sum(result.passed for result in results)
    content = {
        "passed": passed,
        "total": len(results),
        "results": [result.as_dict() for result in results],
    }
    _write_json(option, path, content)


def _write_json(option: str, path: Path, content: object) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with write_errors_as_config_errors(option, path), atomic_write(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def run() -> None:
    """Run the command with the process's arguments; end with its exit status.

    A defect of the program ends with 2, because 1 means that an exercise is not passed.
    """
    with clean_exit("exercises", defect_status=2):
        sys.exit(main(parse_arguments(Arguments, PROGRAM), Console()))
