"""Run the verification in a subprocess with a time limit."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from cell_verifier.api import verify
from cell_verifier.errors import CannotCheckError
from cell_verifier.reference.kinds import Against
from cell_verifier.report import Report
from command_line.errors import ConfigError, own_line
from command_line.load_object import load_object


def judge(
    target: str,
    against: Against,
    timeout: float,
    arguments: Mapping[str, Any] | None = None,
) -> Report:
    """Load and verify a target in a subprocess.

    Args:
        target: ``FILE.py:NAME`` or ``package.module:NAME``.
        against: the torch.nn module to compare with.
        timeout: seconds after which the subprocess, and every process that it started, is killed.
        arguments: values for further arguments of the target.

    Returns:
        The report; its verdict is ``unchecked`` if the target could not be run to its end.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run_in_child, args=(sender, target, against, arguments))
    with _ctrl_c_ignored():  # inherited by the child: Ctrl-C is handled here only
        child.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            return _unchecked(target, against, f"stopped: no verdict within {timeout:g} seconds")
        report: Report = receiver.recv()
        return report
    except EOFError:
        child.join()
        reason = f"the process ended without a verdict: {_exit_reason(child)}"
        return _unchecked(target, against, reason)
    finally:
        _kill(child)


def judge_here(target: str, against: Against, arguments: Mapping[str, Any] | None = None) -> Report:
    """Load and verify a target in this process; any exception becomes an ``unchecked`` report."""
    try:
        return verify(_load_callable(target), against, arguments=arguments)
    except (CannotCheckError, ConfigError) as error:
        return _unchecked(target, against, str(error))
    except (Exception, SystemExit) as error:
        return _unchecked(target, against, own_line(error))


def _load_callable(target: str) -> Callable[..., Any]:
    found = load_object(target)
    if not callable(found):
        raise CannotCheckError(
            f"{target} is of type {type(found).__name__}: name a class or a function"
        )
    make: Callable[..., Any] = found
    return make


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # only the main thread can set signal handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run_in_child(
    sender: Connection,
    target: str,
    against: Against,
    arguments: Mapping[str, Any] | None,
) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # a process group of its own: it can be killed with what the user's code starts
    sender.send(judge_here(target, against, arguments))
    sender.close()


def _kill(child: BaseProcess) -> None:
    if child.is_alive() and child.pid is not None:
        try:
            if hasattr(os, "killpg") and os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has just ended by itself
            pass
        child.kill()
    child.join()


def _exit_reason(child: BaseProcess) -> str:
    code = child.exitcode or 0
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _unchecked(target: str, against: Against, reason: str) -> Report:
    return Report(target.rpartition(":")[2] or target, against, "unchecked", reason)
