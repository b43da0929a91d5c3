"""Check a learner's file in a process of its own, which may hang, crash or print without end.

A server process (multiprocessing's forkserver) imports torch once. Every check is a new child of
it, which costs only the check, and which can be killed.
"""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from command_line.errors import own_line
from exercises.exercise import Entry
from exercises.result import Result

GRACE_SECONDS = 2.0
"""Time after the limit in which the child reports the line that is running, before it is killed."""

STARTUP_SECONDS = 60.0
"""Time for the start of the process, which may have to import torch on a slow disk."""

STARTED = "started"
"""What the child sends when it begins the check: its time limit begins."""

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Windows has no fork: there, every check starts Python and imports torch."""

PRELOADED = ["exercises.checking.judge", "exercises.checking.cells", "cell_verifier.api"]
"""What the server imports, so that no check has to."""


def new_seed() -> int:
    """A random seed for the inputs of a check."""
    return random.randrange(10_000)


class Check:
    """A check that runs in another process.

    Args:
        entry: the exercise.
        path: the learner's file.
        seed: of the random inputs.
    """

    def __init__(self, entry: Entry, path: Path, seed: int) -> None:
        self.entry, self.path, self.seed = entry, path, seed
        context: Any = _context()  # BaseContext does not declare Process
        self._receiver, sender = context.Pipe(duplex=False)
        arguments = (entry, str(path), seed, sender)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        sender.close()
        self._deadline = time.monotonic() + STARTUP_SECONDS

    def poll(self, seconds: float = 0.0) -> Result | None:
        """The result if there is one within this time; the process is then gone."""
        try:
            if self._receiver.poll(seconds):
                message = self._receiver.recv()
                if isinstance(message, Result):
                    return self._finished(message)
                self._deadline = time.monotonic() + self.entry.exercise.timeout + GRACE_SECONDS
        except (EOFError, OSError):
            self._process.join(GRACE_SECONDS)
            return self._finished(self._error(f"the process ended: {self._exit_reason()}"))
        if time.monotonic() > self._deadline:
            return self._finished(self._error(_no_end(self.entry.exercise.timeout)))
        return None

    def wait(self) -> Result:
        """The result, at the latest when the time limit of the exercise is reached."""
        try:
            while (result := self.poll(0.2)) is None:
                pass
        except BaseException:  # Ctrl-C
            self.stop()
            raise
        return result

    def stop(self) -> None:
        """Kill the process and every process that it has started in its group."""
        pid = self._process.pid
        if pid is not None and hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._receiver.close()

    def _finished(self, result: Result) -> Result:
        self.stop()
        return result

    def _error(self, message: str) -> Result:
        return Result(self.entry.name, "error", message, file=str(self.path), seed=self.seed)

    def _exit_reason(self) -> str:
        code = self._process.exitcode
        if code is None:
            return "no exit status"
        if code >= 0:
            return f"exit status {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal has no name
            return f"killed by signal {-code}"


def start_server() -> None:
    """Start the process that imports torch, so that the first check finds it ready."""
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        _context()
        forkserver.ensure_running()


def _context() -> BaseContext:
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(PRELOADED)
    return context


def check(entry: Entry, path: Path, seed: int | None = None) -> Result:
    """Check a file in another process and wait for the result."""
    if not path.exists():
        return Result(entry.name, "missing", _missing(entry), file=str(path))
    return Check(entry, path, new_seed() if seed is None else seed).wait()


def _missing(entry: Entry) -> str:
    return f"there is no such file: python -m exercises reset {entry.name} creates it"


def _no_end(seconds: float) -> str:
    return f"no result after {seconds:g} seconds: is there a loop without an end?"


def _work(entry: Entry, file: str, seed: int, sender: Connection) -> None:
    """Check one file and send the result; in the child process."""
    if hasattr(os, "setsid"):
        os.setsid()
    _discard_output()
    import torch

    from exercises.checking.judge import judge

    torch.set_num_threads(1)
    process = os.getpid()
    main = threading.main_thread().ident or 0
    send_lock = threading.Lock()

    def send(result: Result) -> None:
        with send_lock:
            if os.getpid() == process:  # not in a copy that the learner's code has forked
                sender.send(result)
            os._exit(0)  # neither threads nor exit handlers delay the result

    def report_running_line() -> None:
        send(_still_running(entry, file, seed, main))

    watchdog = threading.Timer(entry.exercise.timeout, report_running_line)
    watchdog.daemon = True
    sender.send(STARTED)
    watchdog.start()
    try:
        result = judge(entry, Path(file), seed)
    except BaseException as error:  # a defect of the check
        message = f"the check itself failed: {own_line(error)}; please report it"
        result = Result(entry.name, "error", message, file=file, seed=seed)
    send(result)


def _still_running(entry: Entry, file: str, seed: int, thread: int) -> Result:
    """The result at the time limit, with the line of the learner's file that is running."""
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    line = frame.f_lineno if frame is not None else 0
    lines = Path(file).read_text(encoding="utf-8").splitlines() if line else []
    source = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    message = _no_end(entry.exercise.timeout)
    return Result(entry.name, "error", message, file=file, line=line, source=source, seed=seed)


def _discard_output() -> None:
    """Send what code in C, or another process, writes to the terminal to the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
