"""What ends a run before its time, and is no mistake of the request's."""

from signal import SIGINT


class ConfigError(ValueError):
    """An option that cannot be followed; its message is one line with the value and the rule."""


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
    """Another process of the run has ended before its time, and this one cannot go on alone.

    Its message is how to go on with the run, if anything has been saved.
    """

    def __str__(self) -> str:
        return "; ".join(["another process of the run has ended", *map(str, self.args)])


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether this is what a process gets that waits for one that is no longer there.

    NCCL's errors have a class, torch.distributed.DistError and those below it; gloo raises plain
    RuntimeErrors, which begin with the file of its own source.
    """
    return type(error).__name__.startswith("Dist") or "/gloo/" in str(error)
