"""Grade a class: a folder of submissions, one folder a student, into one table."""

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as ProgressBar

from command_line.errors import ConfigError, printable
from command_line.files import atomic_write, write_errors_as_config_errors
from exercises.display import line
from exercises.exercise import Entry, all_exercises
from exercises.notebook_cells import cells_of_file
from exercises.result import Result
from exercises.runner import check, new_seed
from exercises.workspace import BACKUPS

COLUMNS = (
    "student",
    "part",
    "exercise",
    "status",
    "line",
    "source",
    "message",
    "computes",
    "should_compute",
    "mistake",
    "seed",
)
MOST_FREQUENT = 5
"""Mistakes that the summary lists."""

Grades = dict[str, list[Result]]
"""The results of each student, by the name of the student's folder."""


def grade_class(folder: Path, seed: int | None, console: Console) -> Grades:
    """Check every submission in a folder.

    Each folder in ``folder`` is one student's. Its exercises are found by their file names, at any
    depth, or in cells of notebooks. An exercise that another student has submitted is ``missing``.

    Args:
        folder: the folder of the class.
        seed: of the random inputs, the same for everyone; None to draw one.
        console: where the progress is shown.

    Raises:
        ConfigError: the folder cannot be read, or contains no submission.
    """
    try:
        students = sorted(path for path in folder.iterdir() if _is_visible_folder(path))
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror}") from error
    with tempfile.TemporaryDirectory() as cells:
        files = {path.name: _submitted(path, Path(cells) / path.name) for path in students}
        names = {name for submitted in files.values() for name in submitted}
        entries = [entry for entry in all_exercises() if entry.name in names]
        if not entries:
            raise ConfigError(
                f"{folder} contains no submission: expected one folder for each student, "
                "with files of the exercises such as lstm_step.py, or notebooks"
            )
        return _check_all(files, entries, new_seed() if seed is None else seed, console)


def _check_all(
    files: Mapping[str, Mapping[str, Path]], entries: list[Entry], seed: int, console: Console
) -> Grades:
    """Check each exercise of each student, several at the same time."""
    grades: Grades = {}
    with (
        ProgressBar(console=console, disable=not console.is_terminal) as bar,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        task = bar.add_task("grading", total=len(files))
        jobs = {
            student: [pool.submit(_check_one, entry, found, seed) for entry in entries]
            for student, found in files.items()
        }
        for student, results in jobs.items():
            grades[student] = [each.result() for each in results]
            bar.advance(task)
    return grades


def _check_one(entry: Entry, files: Mapping[str, Path], seed: int) -> Result:
    if entry.name in files:
        return check(entry, files[entry.name], seed)
    return Result(entry.name, "missing", "not submitted", seed=seed)


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "_"))


def _submitted(student: Path, cells: Path) -> dict[str, Path]:
    """The file of each exercise: the one nearest to the student's folder, or a notebook's cell."""
    names = {entry.file_name: entry.name for entry in all_exercises()}
    found: dict[str, Path] = {}
    files = [path for path in student.rglob("*.*") if _is_work(path.relative_to(student))]
    for path in sorted(files, key=lambda each: (len(each.parts), each)):
        if path.name in names:
            found.setdefault(names[path.name], path)
        elif path.suffix == ".ipynb":
            for name, text in cells_of_file(path).items():
                if name not in found:
                    found[name] = cells / f"{name}.py"
                    cells.mkdir(exist_ok=True)
                    found[name].write_text(text, encoding="utf-8")
    return found


def _is_work(path: Path) -> bool:
    """Whether a file is not a backup and not in a hidden folder."""
    return BACKUPS not in path.parts and not any(part.startswith(".") for part in path.parts)


def rows(grades: Grades) -> Iterable[dict[str, object]]:
    """One row for each student and exercise."""
    parts = {entry.name: entry.part for entry in all_exercises()}
    for student, results in grades.items():
        for result in results:
            yield {
                "student": student,
                "part": parts[result.exercise],
                "exercise": result.exercise,
                "status": result.status,
                "line": result.line or "",
                "source": result.source,
                "message": result.message,
                "computes": result.computes,
                "should_compute": result.expected,
                "mistake": result.mistake,
                "seed": result.seed,
            }


def write_csv(path: Path, grades: Grades) -> None:
    """Write the table.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows(grades))
    with write_errors_as_config_errors("--csv", path), atomic_write(path) as file:
        file.write(text.getvalue().encode(errors="backslashreplace"))


def show_grades(console: Console, grades: Grades) -> None:
    """One line a student, each wrong line, and the most frequent wrong lines."""
    for student, results in grades.items():
        passed = sum(result.passed for result in results)
        line(console, printable(f"{student}  {passed} of {len(results)} passed"), "bold")
        for result in results:
            if not result.passed:
                place = f"{result.exercise}:{result.line}" if result.line else result.exercise
                line(console, printable(f"    {place}  {result.status}: {result.message}"))
    wrong = Counter(
        f"{result.exercise}: should compute {result.expected}"
        for results in grades.values()
        for result in results
        if result.expected
    )
    for text, count in wrong.most_common(MOST_FREQUENT):
        line(console, printable(f"{count} x  {text}"))
