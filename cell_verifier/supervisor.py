"""Run the verification in another process, with a time limit, and leave no process behind.

    command  ->  supervisor  ->  worker

The worker runs the user's code, which may do anything: hang, crash, write to every descriptor,
start processes of its own. The supervisor kills the worker, and every process that it has started,
when the worker has ended, at the time limit, and when the command ends for any reason.
"""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from cell_verifier.reference.against import Against
from cell_verifier.report import Report

POLL_SECONDS = 0.02
MAX_KILL_SECONDS = 5.0
"""Limit for processes that cannot be killed, such as those of another user."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""Names in Linux's prctl.h of two settings of a process."""


def judge(
    target: str,
    against: Against,
    timeout: float,
    arguments: Mapping[str, Any] | None = None,
    program_options: Mapping[str, Any] | None = None,
) -> Report:
    """Load and verify a target in a process of its own.

    Args:
        target: ``FILE.py:NAME``, ``package.module:NAME``, or a file with an exported layer.
        against: the torch.nn module to compare with.
        timeout: seconds after which that process, and every process that it started, is killed.
        arguments: values for further arguments of the target, literals of Python.
        program_options: of an exported layer, the file of its ``weights`` and its ``tolerance``.

    Returns:
        The report; its verdict is ``unchecked`` if the target could not be run to its end.
    """
    supervisor = subprocess.Popen(
        _python(
            "supervisor",
            "supervise",
            target,
            against,
            timeout,
            dict(arguments or {}),
            dict(program_options or {}),
        ),
        stdin=subprocess.PIPE,  # closed when this process ends, however it ends
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is handled here only
    )
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    try:
        answer = supervisor.stdout.read()
    finally:
        supervisor.stdin.close()
        supervisor.wait()
        supervisor.stdout.close()
    return read_answer(answer, target, against)


def read_answer(answer: bytes, target: str, against: Against) -> Report:
    """The report in the supervisor's answer, or one that gives the reason why there is none."""
    reason = "the supervising process has ended; run the command again"
    with suppress(Exception):  # an incomplete answer
        reason, content = pickle.loads(answer)
        report = pickle.loads(content)
        if isinstance(report, Report):
            return report
    return unchecked(target, against, reason)


def unchecked(target: str, against: Against, reason: str) -> Report:
    """The report on a target that could not be checked."""
    return Report(target.rpartition(":")[2] or target, against, "unchecked", reason)


def supervise(
    target: str,
    against: Against,
    timeout: float,
    arguments: Mapping[str, Any],
    program_options: Mapping[str, Any],
) -> None:
    """Run the worker, kill what is left of it, and write its report to the standard output."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    command_ended = Event()
    Thread(target=_wait_for_end_of_input, args=(command_ended,), daemon=True).start()
    content = b""
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            # A file, not a pipe: no descriptor of it exists while the user's code runs.
            result = Path(folder) / "report"
            worker = subprocess.Popen(
                _python(
                    "worker",
                    "work",
                    target,
                    against,
                    arguments,
                    str(result),
                    os.getpid(),
                    program_options,
                ),
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # what the cell prints is not part of the report
                start_new_session=True,
            )
            reason = _wait(worker, timeout, command_ended)
            _kill(worker)
            with suppress(FileNotFoundError):
                content = result.read_bytes()
    except OSError as error:
        reason = f"cannot start a process or write a temporary file: {error.strerror}"
    with suppress(BrokenPipeError):  # the command has ended
        sys.stdout.buffer.write(pickle.dumps((reason, content)))
        sys.stdout.flush()
    os._exit(0)  # without another attempt to write


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent, the process with this id, ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before the call
        os._exit(1)


def _python(module: str, function: str, *arguments: object) -> list[str]:
    """The command that calls a function of this package in a new Python process."""
    program = (
        f"import sys\nsys.path[:] = {sys.path!r}\n"
        "from command_line.imports import gc_paused\n"
        f"with gc_paused():\n    from cell_verifier.{module} import {function}\n"
        f"{function}(*{arguments!r})"
    )
    return [sys.executable, "-c", program]


def _wait_for_end_of_input(ended: Event) -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    ended.set()


def _wait(worker: "subprocess.Popen[bytes]", timeout: float, command_ended: Event) -> str:
    """Wait for the end of the worker, of the time or of the command.

    Returns:
        The reason if there is no report.
    """
    deadline = time.monotonic() + timeout
    while not command_ended.wait(POLL_SECONDS):
        if (status := worker.poll()) is not None:
            return f"the process ended without a verdict: {_exit_reason(status)}"
        if time.monotonic() > deadline:
            return f"stopped: no verdict within {timeout:g} seconds"
    return "stopped: the command has ended"


def _kill(worker: "subprocess.Popen[bytes]") -> None:
    """Kill the worker and every process that it has started, those in other sessions included.

    A process whose parent has ended becomes a child of this one (a setting of Linux), so that
    killing all children again and again reaches every descendant.
    """
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + MAX_KILL_SECONDS
    while (children := _children()) and time.monotonic() < deadline:
        for child in children:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)


def _children() -> list[int]:
    """The process ids of this process's children, on systems with /proc."""
    children = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            # pid (name) state parent ...; the name may contain anything
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                children.append(int(file.parent.name))
    return children


def _prctl(option: int, value: int) -> None:
    """Change a setting of this process on Linux; elsewhere there is no such function."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _exit_reason(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-status}"
