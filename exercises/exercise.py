"""What an exercise is: its files, its hints, and how to find it by name. Imports no torch."""

import ast
import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from command_line.errors import ConfigError
from exercises.template import Template, parse_template

COURSE = Path(__file__).parent / "course"
"""The folder of the exercises: one folder a part, whose names are in the order of the course."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a part.

    Its source is ``NAME.py`` in the part's folder, and its check the function ``NAME`` of
    ``checks.py`` there.

    Attributes:
        name: its name in commands, and of its file.
        minutes: how long it takes a learner.
        hints: three levels: where to look, which term, the fix.
        timeout: seconds that its check may take; a check that trains needs more.
    """

    name: str
    minutes: int
    hints: tuple[str, str, str]
    timeout: float = 6.0


@dataclass(frozen=True)
class Entry:
    """An exercise with its place in the course.

    Attributes:
        part: the name of its part's folder, such as ``part_3_gates``.
        number: its place in the course, counted from 1.
    """

    exercise: Exercise
    part: str
    number: int

    @property
    def name(self) -> str:
        return self.exercise.name

    @property
    def file_name(self) -> str:
        """The name of the learner's file."""
        return f"{self.name}.py"

    @property
    def source(self) -> Path:
        """The file with the solution."""
        return COURSE / self.part / self.file_name

    @property
    def template(self) -> Template:
        return parse_template(self.source.read_text(encoding="utf-8"))

    @property
    def docstring(self) -> str:
        """The explanation: idea, equations, shapes."""
        return ast.get_docstring(ast.parse(self.source.read_text(encoding="utf-8"))) or ""

    @property
    def title(self) -> str:
        """The first line of the explanation, without its full stop."""
        return self.docstring.partition("\n")[0].rstrip(".")

    def solution_module(self) -> Any:
        """The module with the solution."""
        return importlib.import_module(f"exercises.course.{self.part}.{self.name}")

    def check(self) -> Callable[[Any], None]:
        """The function that raises ``Failure`` unless an attempt is right. Imports torch."""
        checks = importlib.import_module(f"exercises.course.{self.part}.checks")
        check: Callable[[Any], None] = getattr(checks, self.name)
        return check


@cache
def all_exercises() -> tuple[Entry, ...]:
    """Every exercise, in the order of the course."""
    entries: list[Entry] = []
    for folder in sorted(COURSE.glob("part_*")):
        part = importlib.import_module(f"exercises.course.{folder.name}")
        for exercise in part.EXERCISES:
            entries.append(Entry(exercise, folder.name, len(entries) + 1))
    return tuple(entries)


def part_title(part: str) -> str:
    """The title of a part: ``part_3_gates`` -> ``Part 3: the gates of the GRU and of the LSTM``."""
    docstring = importlib.import_module(f"exercises.course.{part}").__doc__ or part
    return docstring.partition("\n")[0].rstrip(".")


def find_exercise(name: str) -> Entry:
    """The exercise with a name; ``name.py`` and a path to such a file are accepted too.

    Raises:
        ConfigError: there is no such exercise.
    """
    key = Path(name).name.removesuffix(".py")
    by_name = {entry.name: entry for entry in all_exercises()}
    if key not in by_name:
        nearest = difflib.get_close_matches(key, by_name, n=1)
        remedy = f"did you mean {nearest[0]}?" if nearest else "see python -m exercises list"
        raise ConfigError(f"there is no exercise {key!r}: {remedy}")
    return by_name[key]
