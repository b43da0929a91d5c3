"""What each stage measures: settings, precisions and contenders, the most important first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.implementations import KINDS, TASKS, Task

CUDNN = "cuDNN"
"""torch.nn's layer, with which every other contender is compared."""

PUBLISHED = Task("published", batch=2048, time=256, features=64, hidden_size=128, layers=1)
"""The setting for which TorchRL's pull request 3738 has times (H100, forward and backward, float32
with TF32): 33.8 ms for cuDNN, 11.7 ms for its Triton kernels. It does not name the cell or the
number of features; its program takes the GRU and 64 features by default."""

PUBLISHED_MILLISECONDS = {CUDNN: 33.8, "triton": 11.7}

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class Case:
    """One layer in one precision, and the contenders.

    Attributes:
        kind: RNN, GRU or LSTM.
        contenders: ``cuDNN`` first. A backend's name, with " graph" as one CUDA graph, or with
            " compiled" by torch.compile; ``cell loop`` is a Python loop over torch.nn's cell.
        seconds: time of measuring, for each phase.
        loss_of: what the loss depends on; with the outputs, x requires a gradient, too.
        min_rounds: rounds of measuring at least.
    """

    task: Task
    kind: str
    precision: Precision
    contenders: tuple[str, ...]
    seconds: float
    loss_of: Literal["final state", "outputs"] = "final state"
    min_rounds: int = 5


SMALL = {
    "published": Task("published", batch=2, time=3, features=2, hidden_size=4, layers=1),
    "rows": Task("rows", batch=2, time=3, features=2, hidden_size=4, layers=2),
    "pixels": Task("pixels", batch=2, time=4, features=1, hidden_size=4, layers=1),
    "wide": Task("wide", batch=2, time=2, features=2, hidden_size=4, layers=1),
}
"""Sizes for an attempt without a GPU."""


def published(task: Task) -> Iterator[Case]:
    """The published setting."""
    for precision in ("tf32", "bfloat16", "float32"):
        for kind in ("LSTM", "GRU"):
            yield Case(task, kind, precision, (CUDNN, "triton"), 1.5, "outputs")


def speed(tasks: dict[str, Task]) -> Iterator[Case]:
    """The two tasks of the marks, then the slower contenders."""
    for precision in ("bfloat16", "float32", "tf32"):
        for name in ("rows", "pixels"):
            for kind in KINDS[::-1]:
                yield Case(tasks[name], kind, precision, (CUDNN, "triton"), 0.5)
    for kind in KINDS[::-1]:
        slow = (CUDNN, "bptt", "plain", "cell loop")
        yield Case(tasks["rows"], kind, "float32", slow, 1)
        yield Case(tasks["pixels"], kind, "float32", (CUDNN, "bptt", "plain"), 2)


def sizes(wide: Task, hidden_sizes: tuple[int, ...]) -> Iterator[Case]:
    """Larger layers, with two batches."""
    for precision in ("bfloat16", "tf32", "float32"):
        for size in hidden_sizes:
            for batch in (wide.batch, 16 * wide.batch):
                name = f"wide {size}, batch {batch}"
                task = Task(name, batch, wide.time, wide.features, size, wide.layers)
                for kind in ("LSTM", "GRU"):
                    contenders = (CUDNN, "triton") + ("bptt",) * (precision == "float32")
                    yield Case(task, kind, precision, contenders, 0.4)


def graphs(tasks: dict[str, Task]) -> Iterator[Case]:
    """Forward and backward pass as one CUDA graph."""
    for name in ("rows", "pixels"):
        for kind in ("LSTM", "GRU"):
            captured = tuple(f"{each} graph" for each in (CUDNN, "triton", "bptt", "plain"))
            yield Case(tasks[name], kind, "float32", (CUDNN, *captured), 1)
            yield Case(tasks[name], kind, "bfloat16", (CUDNN, *captured[:2]), 0.5)


def compiled(tasks: dict[str, Task]) -> Iterator[Case]:
    """The reference loop with torch.compile, for a short sequence: it is unrolled."""
    for kind in ("LSTM", "GRU"):
        yield Case(tasks["rows"], kind, "float32", (CUDNN, "plain compiled"), 1)


def cases(stage: str, small: bool) -> list[Case]:
    """The cases of a stage; with ``small``, of a size for Triton's interpreter."""
    tasks = SMALL if small else TASKS | {"published": PUBLISHED}
    found = {
        "published": lambda: published(tasks["published"]),
        "speed": lambda: speed(tasks),
        "sizes": lambda: sizes(tasks["wide"], (5,) if small else (256, 512, 1024)),
        "graphs": lambda: graphs(tasks),
        "compiled": lambda: compiled(tasks),
    }[stage]()
    if small:
        return [replace(case, seconds=0, min_rounds=2) for case in found]
    return list(found)
