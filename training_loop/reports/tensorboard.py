"""A run's figures as TensorBoard reads them.

torch's SummaryWriter writes from a thread of its own, and where the disk is full the traceback is
that thread's. Here a figure is written where it is added, so that an error reaches who can act.
"""

import time
from pathlib import Path
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

VERSION = "brain.Event:2"


class Board:
    """One event file in a run's folder.

    Args:
        folder: the run's.
        step: steps taken already. What earlier event files have of later ones does not count: the
            run goes back, and takes them again.

    Raises:
        OSError: from every method, the file cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        # TensorBoard reads a folder's files in the order of their names.
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}"
        self.file: BinaryIO = (folder / name).open("wb")
        self.records = RecordWriter(self.file)
        self._write(Event(file_version=VERSION))
        if step:
            self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        self.file.flush()

    def add(self, figures: dict[str, float], step: int) -> None:
        """Note down figures after so many steps."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())

    def flush(self) -> None:
        """Hand everything to the system, for TensorBoard to see."""
        self.file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
