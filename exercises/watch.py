"""Watch mode: show an exercise, check it at each save, and obey single keys."""

from pathlib import Path

from rich.console import Console

from command_line.errors import printable
from exercises import display
from exercises.exercise import Entry, all_exercises
from exercises.hints import show_next_hint, solution_is_withheld
from exercises.keyboard import Keyboard, keyboard
from exercises.result import Result
from exercises.runner import Check, new_seed, start_server
from exercises.workspace import Workspace, next_exercise

POLL_SECONDS = 0.1
LONG_SECONDS = 10.0
"""A check with a higher time limit is announced."""
KEYS = "n next   h hint   s solution   l list   c check again   q quit"


class FileWatcher:
    """Finds the files whose content has changed.

    Args:
        paths: the files; they may appear later.
    """

    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths
        self._stamps = {name: _stamp(path) for name, path in paths.items()}
        self._contents = {name: _content(path) for name, path in paths.items()}

    def changed(self) -> str | None:
        """The name of a file with another content than at the last call, or None.

        A file that is missing, as in the middle of a save, has not changed.
        """
        for name, path in self._paths.items():
            stamp = _stamp(path)
            if stamp is None or stamp == self._stamps[name]:
                continue
            self._stamps[name] = stamp
            content = _content(path)
            if content is not None and content != self._contents[name]:
                self._contents[name] = content
                return name
        return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


class Watch:
    """The state of watch mode.

    Args:
        workspace: the learner's folder.
        entry: the exercise to begin with.
        console: where to print.
        limit: the highest level of hint that may be shown.
    """

    def __init__(self, workspace: Workspace, entry: Entry, console: Console, limit: int) -> None:
        self.workspace, self.entry = workspace, entry
        self.console, self.limit = console, limit
        self.entries = {each.name: each for each in all_exercises()}
        self.check: Check | None = None
        self.keys = KEYS
        self.finished = False
        self.asked_for_solution = False

    def run(self, keys: Keyboard) -> None:
        """Watch until the learner quits."""
        self.keys = KEYS if keys.enabled else "Ctrl-C quits"
        start_server()
        if created := self.workspace.create_copies():
            folder = printable(self.workspace.folder)
            display.line(self.console, f"created {created} exercises in {folder}\n")
        watcher = FileWatcher({n: self.workspace.path(each) for n, each in self.entries.items()})
        self.show()
        try:
            while not self.finished:
                self.on_key(keys.key(POLL_SECONDS))
                if (name := watcher.changed()) is not None:
                    self.entry = self.entries[name]
                    self.start_check()
                self.poll()
        finally:
            self.stop_check()

    def show(self) -> None:
        """Show the current exercise and check it."""
        self.workspace.select(self.entry)
        self.console.clear()
        display.show_exercise(self.console, self.workspace, self.entry)
        self.start_check(clear=False)

    def start_check(self, clear: bool = True) -> None:
        """Start a check of the current exercise in place of one that is running."""
        self.stop_check()
        if clear:
            self.console.clear()
        if self.entry.exercise.timeout > LONG_SECONDS:
            display.line(self.console, "\nchecking: this exercise trains, which takes some seconds")
        self.check = Check(self.entry, self.workspace.path(self.entry), new_seed())

    def stop_check(self) -> None:
        if self.check is not None:
            self.check.stop()
            self.check = None

    def poll(self) -> None:
        """Show the result of the check if there is one."""
        result = self.check.poll() if self.check is not None else None
        if result is not None:
            self.check = None
            self.show_result(result)

    def show_result(self, result: Result) -> None:
        progress = self.workspace.record_check(self.entry, result.passed)
        display.line(self.console, "")
        display.show_result(self.console, result)
        display.line(self.console, "")
        display.line(self.console, display.progress_bar(progress))
        following = next_exercise(progress, after=self.entry)
        if following is None:
            display.line(self.console, "the course is complete", "bold green")
        elif result.passed:
            display.line(self.console, f"next: {following.title} (press n)")
        display.line(self.console, self.keys)

    def on_key(self, key: str) -> None:
        """Do what a key means; a key without a meaning does nothing."""
        if self.asked_for_solution and key:
            self.asked_for_solution = False
            if key == "y":
                self.workspace.record_solution(self.entry)
                display.show_solution(self.console, self.entry)
            return
        actions = {
            "n": self.next,
            "h": self.hint,
            "s": self.solution,
            "l": self.list,
            "c": self.start_check,
            "q": self.quit,
        }
        if key in actions:
            actions[key]()

    def next(self) -> None:
        """Go to the next exercise that is not passed; after the last one, to the first."""
        entry = next_exercise(self.workspace.load_progress(), after=self.entry)
        if entry is None:
            display.line(self.console, "every exercise is passed", "bold green")
            return
        self.entry = entry
        self.show()

    def hint(self) -> None:
        show_next_hint(self.workspace, self.entry, self.limit, self.console)

    def solution(self) -> None:
        """Show the solution after success; before, ask first."""
        if self.workspace.load_progress().is_passed(self.entry):
            display.show_solution(self.console, self.entry)
            return
        if (reason := solution_is_withheld(self.entry, self.limit)) is not None:
            display.line(self.console, reason)
            return
        question = f"{self.entry.name} is not passed yet: press y to show the solution"
        display.line(self.console, question)
        self.asked_for_solution = True

    def list(self) -> None:
        display.show_list(self.console, self.workspace.load_progress())
        display.line(self.console, "save any file of the course to continue with it")

    def quit(self) -> None:
        self.finished = True


def watch(workspace: Workspace, entry: Entry, console: Console, limit: int) -> None:
    """Show an exercise and check it at each save until the learner quits.

    Raises:
        ConfigError: the learner's folder cannot be used.
    """
    with keyboard() as keys:
        Watch(workspace, entry, console, limit).run(keys)
