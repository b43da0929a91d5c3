"""What ends a run before its time, and is no mistake of the request's."""

from signal import SIGINT


class Stopped(BaseException):
    """Ctrl-C or SIGTERM asked the run to stop.

    Not an Exception, as KeyboardInterrupt is none: nothing that handles errors may swallow it.

    Attributes:
        signal: SIGINT or SIGTERM.
        remedy: what was saved, and how to go on.
    """

    def __init__(self, signal: int, remedy: str = "") -> None:
        super().__init__(signal, remedy)
        self.signal = signal
        self.remedy = remedy

    def __str__(self) -> str:
        what = "interrupted" if self.signal == SIGINT else "terminated"
        return f"{what}; {self.remedy}" if self.remedy else what


class LostProcessError(Exception):
    """Another process of the run has ended before its time, and this one cannot go on alone."""
