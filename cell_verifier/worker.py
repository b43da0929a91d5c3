"""Judge a file in a process of its own, which is stopped when its time is up."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

from cell_verifier.api import verify
from cell_verifier.errors import CannotCheckError, own_line
from cell_verifier.loading import load_subject
from cell_verifier.reference.kinds import Against
from cell_verifier.report import Report


def judge(target: str, against: Against, timeout: float) -> Report:
    """Load and verify ``FILE.py:NAME`` in a child process.

    Args:
        timeout: seconds after which the child, and whatever it started, is killed.

    Returns:
        The report; ``unchecked`` where the file could not be run to its end.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(sender, target, against))
    child.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            return _unchecked(target, against, f"stopped: no verdict within {timeout:g} seconds")
        report: Report = receiver.recv()
        return report
    except EOFError:
        child.join()
        return _unchecked(target, against, f"the process ended without a verdict: {_how(child)}")
    finally:
        _stop(child)


def _in_child(sender: Connection, target: str, against: Against) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # so that what the user's code starts can be stopped with it
    sender.send(judge_here(target, against))
    sender.close()


def judge_here(target: str, against: Against) -> Report:
    """Load and verify ``FILE.py:NAME`` in this process, whatever it raises."""
    try:
        return verify(load_subject(target), against)
    except CannotCheckError as error:
        return _unchecked(target, against, str(error))
    except (Exception, SystemExit) as error:
        return _unchecked(target, against, own_line(error))


def _stop(child: "multiprocessing.process.BaseProcess") -> None:
    if child.is_alive() and child.pid is not None:
        try:
            if hasattr(os, "killpg") and os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself just now
            pass
        child.kill()
    child.join()


def _how(child: "multiprocessing.process.BaseProcess") -> str:
    code = child.exitcode or 0
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _unchecked(target: str, against: Against, reason: str) -> Report:
    return Report(target.rpartition(":")[2] or target, against, "unchecked", reason)
