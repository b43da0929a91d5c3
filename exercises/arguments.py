"""The options of python -m exercises, read without importing torch."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from command_line.errors import ConfigError

PROGRAM = "python -m exercises"
HINT_LEVELS = 3
MAX_HINT_VARIABLE = "EXERCISES_MAX_HINT"
"""A teacher sets this environment variable to the highest level of hint that learners may see."""

ACTIONS = (
    "watch",
    "list",
    "check",
    "hint",
    "reset",
    "solution",
    "progress",
    "grade",
    "notebooks",
)
WITHOUT_NAME = ("list", "progress")


def _path(metavar: str, default: str) -> object:
    return tyro.conf.arg(
        constructor=Path, metavar=metavar, help_behavior_hint=f"(default: {default})"
    )


@dataclass(frozen=True)
class Arguments:
    """Write recurrent networks yourself: exercises that are checked line by line.

    Without an action, the next exercise is shown and checked each time its file is saved.

    watch [NAME]: show an exercise and check it each time a file is saved (the default).

    list: list all exercises.

    check [NAME]: check one exercise; NAME all checks every exercise.

    hint [NAME]: show the next level of hint.

    reset NAME: replace your file by the original one; a backup is kept.

    solution NAME: show the solution.

    progress: show what is done.

    grade FOLDER: check the submissions of a class, one folder each, and write one table.

    notebooks [FOLDER]: write each part of the course as a notebook.
    """

    action: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="[ACTION]", help_behavior_hint="(default: watch)"),
    ] = "watch"
    """What to do, see above."""
    name: Annotated[
        tyro.conf.Positional[str | None],
        tyro.conf.arg(constructor=str, metavar="[NAME]", help_behavior_hint="(default: the next)"),
    ] = None
    """The exercise; for grade and notebooks, the folder."""
    folder: Annotated[Path, _path("FOLDER", "my_exercises")] = Path("my_exercises")
    """The folder of your exercises and your progress."""
    seed: Annotated[
        int | None, tyro.conf.arg(constructor=int, metavar="N", help_behavior_hint="(random)")
    ] = None
    """Draw the random inputs of the check with this seed, to reproduce a result."""
    json: Annotated[Path | None, _path("FILE", "none")] = None
    """Also write the results of check or grade to this file, as JSON."""
    csv: Annotated[Path | None, _path("FILE", "none")] = None
    """Also write the table of grade to this file, as CSV."""
    max_hint: Annotated[
        int, tyro.conf.arg(metavar="N", help_behavior_hint=f"(default: {HINT_LEVELS})")
    ] = HINT_LEVELS
    """Show hints up to this level, 0 to 3. The variable EXERCISES_MAX_HINT sets a limit too."""
    nbgrader: bool = False
    """Write notebooks whose checks are test cells of nbgrader, one point each."""
    yes: bool = False
    """Answer yes to every question of reset and solution."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            nearest = difflib.get_close_matches(self.action, ACTIONS, n=1)
            remedy = f"did you mean {nearest[0]}?" if nearest else f"expected {', '.join(ACTIONS)}"
            raise ConfigError(f"there is no action {self.action!r}: {remedy}")
        if self.action in WITHOUT_NAME and self.name is not None:
            raise ConfigError(f"{self.action} takes no name: got {self.name!r}")
        if self.action in ("reset", "solution", "grade") and self.name is None:
            what = "a folder of submissions" if self.action == "grade" else "the exercise's name"
            raise ConfigError(f"{self.action} requires {what}: see {PROGRAM} --help")
        if self.json is not None and self.action not in ("check", "grade"):
            raise ConfigError(f"--json is for check and grade, not for {self.action}")
        if self.csv is not None and self.action != "grade":
            raise ConfigError(f"--csv is for grade, not for {self.action}")
        if self.nbgrader and self.action != "notebooks":
            raise ConfigError(f"--nbgrader is for notebooks, not for {self.action}")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"--seed is {self.seed}: expected 0 or more")
        if not 0 <= self.max_hint <= HINT_LEVELS:
            raise ConfigError(f"--max-hint is {self.max_hint}: expected 0 to {HINT_LEVELS}")
        for option, path in (("--json", self.json), ("--csv", self.csv)):
            if path is not None and not path.absolute().parent.is_dir():
                raise ConfigError(
                    f"{option} is {path}: the folder {path.parent} does not exist; create it"
                )

    @property
    def hint_limit(self) -> int:
        """The highest level of hint that may be shown.

        Raises:
            ConfigError: the environment variable is not a level.
        """
        return min(self.max_hint, hint_limit())


def hint_limit() -> int:
    """The highest level of hint that the environment variable permits.

    Raises:
        ConfigError: the environment variable is not a level.
    """
    value = os.environ.get(MAX_HINT_VARIABLE, str(HINT_LEVELS))
    if value not in map(str, range(HINT_LEVELS + 1)):
        raise ConfigError(
            f"the variable {MAX_HINT_VARIABLE} is {value!r}: expected 0 to {HINT_LEVELS}"
        )
    return int(value)
