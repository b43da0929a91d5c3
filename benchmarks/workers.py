"""Processes of their own that stay alive and call functions of one module on request.

A benchmark needs them where a setting holds for a whole process, such as an environment variable
that is read at its start, or the threads of a library that would share a process with another.
"""

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from command_line.errors import ROOT, type_and_message

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}
"""Environment variables with which glibc's allocator keeps freed memory for the process."""


class WorkerError(Exception):
    """A function raised an exception in its process, or the process has ended."""


class Worker:
    """A process that has imported ``module`` and calls its functions, one at a time.

    Use it as a context manager, or call ``close``. What the process prints is discarded, except
    the last line on its stderr if the process ends before it has answered.

    Args:
        module: the module, with its package.
        environment: environment variables that differ from this process's; None removes one.
    """

    def __init__(self, module: str, environment: Mapping[str, str | None] | None = None) -> None:
        self.module = module
        variables = {**os.environ, **(environment or {})}
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.workers", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=ROOT,
            env={name: value for name, value in variables.items() if value is not None},
        )

    def call(self, function: str, *arguments: object) -> Any:
        """Call a function of the module in the process and return its result.

        Raises:
            WorkerError: the function raised an exception, or the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((function, arguments), self._process.stdin)
            self._process.stdin.flush()
            error, result = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            status = self._process.wait()
            raise WorkerError(
                f"the process of {self.module} ended with exit status {status}: {self._last_line()}"
            ) from None
        if error:
            raise WorkerError(error)
        return result

    def _last_line(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            with contextlib.suppress(BrokenPipeError):  # an unsent request
                stream.close()  # type: ignore[union-attr]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(module: str) -> None:
    """Answer requests from stdin on stdout until stdin is closed.

    An answer is a pair: the exception's text, or "" and the result.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not an answer
    functions = importlib.import_module(module)
    while True:
        try:
            function, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = ("", getattr(functions, function)(*arguments))
        except Exception as error:
            answer = (type_and_message(error), None)
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
