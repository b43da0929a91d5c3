"""The learner's folder: copies of the exercises, backups, and progress. Imports no torch."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from command_line.errors import ConfigError
from command_line.files import atomic_write, write_errors_as_config_errors
from exercises.exercise import Entry, all_exercises

PROGRESS_FILE = "progress.json"
BACKUPS = "backups"


@dataclass
class Record:
    """What a learner has done in one exercise.

    Attributes:
        checks: how often it was checked.
        hints: the highest level of hint that was shown, 0 to 3.
        passed: the date and time of the first success; empty before.
        solution_shown: whether the solution was shown before the first success.
    """

    checks: int = 0
    hints: int = 0
    passed: str = ""
    solution_shown: bool = False


@dataclass
class Progress:
    """What a learner has done in the course.

    Attributes:
        current: the exercise that the learner worked on last; empty at the beginning.
        records: by the name of the exercise.
    """

    current: str = ""
    records: dict[str, Record] = field(default_factory=dict)

    def of(self, entry: Entry) -> Record:
        """The record of an exercise, which may be new."""
        return self.records.setdefault(entry.name, Record())

    def is_passed(self, entry: Entry) -> bool:
        return entry.name in self.records and bool(self.records[entry.name].passed)


class Workspace:
    """A learner's folder.

    Args:
        folder: its path; it is created when something is written to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, entry: Entry) -> Path:
        """The learner's file of an exercise."""
        return self.folder / entry.part / entry.file_name

    def create_copies(self) -> int:
        """Create the copies that do not exist; never replace one. Returns how many it created.

        Raises:
            ConfigError: a file cannot be written.
        """
        return sum(self.create_copy(entry) for entry in all_exercises())

    def create_copy(self, entry: Entry) -> bool:
        """Create the learner's copy unless it exists.

        Raises:
            ConfigError: the file cannot be written.
        """
        path = self.path(entry)
        if path.exists():
            return False
        self._write(path, entry.template.learners_copy())
        return True

    def reset(self, entry: Entry) -> Path | None:
        """Replace the learner's file by a new copy. Returns the backup of the file, if it existed.

        Raises:
            ConfigError: a file cannot be written.
        """
        path, backup = self.path(entry), None
        if path.exists():
            time = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
            backup = self.folder / BACKUPS / f"{entry.name}.{time}.py"
            self._write(backup, path.read_bytes())
        self._write(path, entry.template.learners_copy())
        return backup

    def load_progress(self) -> Progress:
        """The progress on disk.

        Raises:
            ConfigError: the file is damaged.
        """
        path = self.folder / PROGRESS_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            records = {name: Record(**record) for name, record in content["records"].items()}
            return Progress(content["current"], records)
        except (FileNotFoundError, NotADirectoryError):
            return Progress()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path} is damaged: delete it to begin with empty progress; "
                "your exercises are not affected"
            ) from error

    def save_progress(self, progress: Progress) -> None:
        """Write the progress to disk.

        Raises:
            ConfigError: the file cannot be written.
        """
        self._write(
            self.folder / PROGRESS_FILE, json.dumps(asdict(progress), indent=2, sort_keys=True)
        )

    def record_check(self, entry: Entry, passed: bool) -> Progress:
        """Count a check, note a first success, and write the progress."""
        progress = self.load_progress()  # another command may have written it
        record = progress.of(entry)
        record.checks += 1
        if passed and not record.passed:
            record.passed = datetime.now().isoformat(timespec="seconds")
        progress.current = entry.name
        self.save_progress(progress)
        return progress

    def record_hint(self, entry: Entry, level: int) -> None:
        """Note the highest level of hint that was shown."""
        progress = self.load_progress()
        record = progress.of(entry)
        record.hints = max(record.hints, level)
        self.save_progress(progress)

    def record_solution(self, entry: Entry) -> None:
        """Note that the solution was shown before the first success."""
        progress = self.load_progress()
        progress.of(entry).solution_shown = True
        self.save_progress(progress)

    def select(self, entry: Entry) -> None:
        """Note the exercise that the learner works on."""
        progress = self.load_progress()
        progress.current = entry.name
        self.save_progress(progress)

    def _write(self, path: Path, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        with write_errors_as_config_errors("--folder", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(data)


def next_exercise(progress: Progress, after: Entry | None = None) -> Entry | None:
    """The exercise to work on, or None if all are passed.

    This is the last one worked on, or the first of the following ones that is not passed; after
    the end of the course, the search continues at its beginning.

    Args:
        progress: what the learner has done.
        after: search after this exercise instead, which is then the last choice.
    """
    entries = all_exercises()
    if after is not None:
        start = after.number
    else:
        start = next((n for n, each in enumerate(entries) if each.name == progress.current), 0)
    in_order = (*entries[start:], *entries[:start])
    return next((each for each in in_order if not progress.is_passed(each)), None)
