"""Write scalars for TensorBoard.

torch.utils.tensorboard.SummaryWriter writes in a background thread. If the disk is full, that
thread prints a traceback, and the error is raised only by a later call. Here ``add`` writes in the
calling thread, so that a write error is raised once, where it can be handled.
"""

import os
import time
from pathlib import Path
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

VERSION = "brain.Event:2"
"""Version of the file format, in the first event of every file."""


PREFIX = "events.out.tfevents."


def next_name(folder: Path) -> str:
    """Name of a new event file. TensorBoard reads a folder's files in the order of their names.

    It is the time in microseconds, but later than the latest file's: the clock may have been set
    back since.
    """
    endings = [path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*")]
    times = [int(ending) for ending in endings if ending.isdecimal() and len(ending) == 16]
    return f"{PREFIX}{max([time.time_ns() // 1000, *(t + 1 for t in times)]):016d}"


class TensorBoardWriter:
    """Writes one event file in a run's folder.

    Args:
        folder: the run's folder.
        step: steps taken before. TensorBoard then ignores events of later steps in the folder's
            earlier files, because a resumed run repeats these steps.

    Raises:
        OSError: in every method, if the file cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        # x: the file is new, and a link is not followed.
        self.file: BinaryIO = (folder / next_name(folder)).open("xb")
        self.records = RecordWriter(self.file)
        self._write(Event(file_version=VERSION))
        if step:
            self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        self.file.flush()

    def add(self, scalars: dict[str, float], step: int) -> None:
        """Write scalars, by tag, with the number of steps taken."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())

    def flush(self) -> None:
        """Flush the buffer, so that TensorBoard can read all events."""
        self.file.flush()

    def sync(self) -> None:
        """Write all events to the disk (fsync)."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()
