"""A power cut at any moment leaves the configuration and a checkpoint, or the final weights.

A simulated disk loses everything that was not written to it by fsync: the content of a file until
the file is synced, and possibly its name until its folder is synced.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import files
from tests.helpers.runs import interrupt, saved, small
from train import train
from training_loop.runs.checkpoint import CURRENT, PREVIOUS
from training_loop.runs.folder import MODEL
from training_loop.runs.run import CONFIG

pytestmark = pytest.mark.usefixtures("blank_plots")


class Disk:
    """Records which content and which names of a run's folder are on the disk.

    Attributes:
        losses: what a power cut before one of the recorded operations would have lost.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.synced: set[int] = set()  # inodes of files with synced content, and of folders
        self.names: dict[str, int] = {}  # at the latest sync of the folder
        self.started = False
        self.losses: list[str] = []

    def record(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fsync = os.fsync

        def spy_on_fsync(file: int) -> None:
            fsync(file)
            self.synced.add(os.fstat(file).st_ino)
            if self.folder.exists() and os.fstat(file).st_ino == self.folder.stat().st_ino:
                self.names = self.names_now()

        def checked(function: Callable[..., Any]) -> Callable[..., Any]:
            def spy(path: Any, *arguments: Any, **options: Any) -> Any:
                self.check(f"{function.__name__} {Path(path).name}")
                result = function(path, *arguments, **options)
                self.check(f"after {function.__name__} {Path(path).name}")
                return result

            return spy

        monkeypatch.setattr(os, "fsync", spy_on_fsync)
        for function in (os.replace, os.unlink):
            monkeypatch.setattr(os, function.__name__, checked(function))

    def names_now(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.folder.iterdir()}

    def check(self, event: str) -> None:
        """Compare the two extremes: all names as they are now, and as they were last synced."""
        if not self.folder.exists():
            return
        self.started = self.started or MODEL in self.names or CURRENT in self.names
        for which, names in (("current", self.names_now()), ("synced", self.names)):
            kept = {name for name, inode in names.items() if inode in self.synced}
            complete = CONFIG in kept and kept & {CURRENT, PREVIOUS, MODEL}
            if self.started and not complete:
                self.losses.append(f"{event}, {which} names: {sorted(kept)}")


def test_nothing_is_lost_at_any_moment_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "a" / "run")
    with monkeypatch.context() as patched:
        disk.record(patched)
        train(small(tmp_path, run_dir=disk.folder, checkpoint_every=9))
    assert disk.started
    assert disk.losses == []
    assert {MODEL, CONFIG, "metrics.json", "curve.png"} <= disk.names.keys()
    assert MODEL in {name for name, inode in disk.names.items() if inode in disk.synced}
    for folder in (tmp_path, tmp_path / "a"):  # they contain the names of the new folders
        assert folder.stat().st_ino in disk.synced


def test_nothing_is_lost_at_any_moment_of_a_resumed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "run")
    disk.record(monkeypatch)
    interrupt(small(tmp_path), monkeypatch, 14)
    train(saved(disk.folder), resume=True)
    assert disk.started
    assert disk.losses == []


@pytest.mark.parametrize("missing", ["content", "names"])
def test_a_missing_fsync_is_found(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "run")
    disk.record(monkeypatch)
    if missing == "names":
        monkeypatch.setattr(files, "sync_folder", lambda folder: None)
    else:
        fsync = os.fsync
        monkeypatch.setattr(
            os, "fsync", lambda f: None if os.path.isfile(f"/dev/fd/{f}") else fsync(f)
        )
    train(small(tmp_path))
    assert disk.losses or not disk.started
    assert MODEL not in {name for name, inode in disk.names.items() if inode in disk.synced}
