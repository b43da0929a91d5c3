"""benchmarks.workers: functions run in another process, and its errors arrive in one line."""

import os
import signal

import pytest

from benchmarks.workers import Worker, WorkerError


def test_calls_run_one_after_another_in_one_other_process() -> None:
    with Worker("os") as worker:
        first = worker.call("getpid")
        assert first == worker.call("getpid")
        assert first != os.getpid()
        assert worker.call("write", 1, b"what a library prints\n") == 22
        assert worker.call("getpid") == first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_the_environment_is_that_of_this_process_with_the_given_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEFT", "a")
    monkeypatch.setenv("CHANGED", "b")
    monkeypatch.setenv("REMOVED", "c")
    with Worker("os", {"CHANGED": "d", "REMOVED": None}) as worker:
        seen = [worker.call("getenv", name) for name in ("LEFT", "CHANGED", "REMOVED")]
    assert seen == ["a", "d", None]


def test_an_exception_is_raised_here_and_the_process_continues() -> None:
    with Worker("os") as worker:
        with pytest.raises(WorkerError, match=r"^FileNotFoundError: .*'no_such_folder'$"):
            worker.call("listdir", "no_such_folder")
        assert worker.call("getcwd")


@pytest.mark.parametrize("during_call", [True, False])
def test_the_end_of_the_process_is_an_error_with_its_status(during_call: bool) -> None:
    with Worker("os") as worker:
        if during_call:
            with pytest.raises(WorkerError, match=r"the process of os ended with exit status 3: "):
                worker.call("_exit", 3)
        else:
            os.kill(worker.call("getpid"), signal.SIGKILL)
            worker._process.wait()
        with pytest.raises(WorkerError, match=r"the process of os ended with exit status"):
            worker.call("getpid")


def test_a_missing_module_is_named() -> None:
    with (
        Worker("no_such_module") as worker,
        pytest.raises(WorkerError, match=r"exit status 1: .*No module named 'no_such_module'"),
    ):
        worker.call("getpid")


def test_ctrl_c_does_not_end_the_process() -> None:
    """It reaches all processes of a terminal; this process ends the others when it is done."""
    with Worker("os") as worker:
        process = worker.call("getpid")
        os.kill(process, signal.SIGINT)
        assert worker.call("getpid") == process
