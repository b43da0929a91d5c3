"""What a framework computes in its process. This file imports no framework."""

import importlib
import statistics
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NAMES = ("output", "h_n", "c_n")
"""What a layer returns. A GRU has no c_n."""


@dataclass(frozen=True)
class Job:
    """A layer, its input and its weights.

    Attributes:
        kind: "LSTM" or "GRU".
        x: the input (time, batch, features) in float32.
        state: for an LSTM h_0 and c_0, for a GRU h_0, each (layers, batch, hidden size).
        weights: in the form of the framework; see ``contenders.py``.
        threads: the number of threads.
    """

    kind: str
    x: Array
    state: tuple[Array, ...]
    weights: Any
    threads: int

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return len(self.state[0])

    @property
    def hidden_size(self) -> int:
        """The number of units of a layer."""
        return int(self.state[0].shape[-1])


class Contender(ABC):
    """A framework's layer. Both calls return when all results are computed."""

    @abstractmethod
    def __init__(self, job: Job) -> None: ...

    @abstractmethod
    def inference(self) -> Any:
        """Outputs and final states, from the input and the initial states."""

    @abstractmethod
    def train(self) -> Any:
        """The gradient of the mean of the squared outputs with respect to every weight."""

    @abstractmethod
    def arrays(self, phase: str, result: Any) -> dict[str, Array]:
        """What ``inference`` or ``train`` returned, by name.

        Of inference: output (time, batch, hidden size) and the states of ``Job``, h_n and c_n. Of
        training: the gradients of the weights, in the order and form of the weights.
        """


_loaded: Contender


def version(module: str) -> str:
    """Import a module of this folder; return the framework's name and version."""
    return str(_import(module).VERSION)


def load(module: str, job: Job) -> None:
    """Build the contender of a module of this folder."""
    global _loaded
    _loaded = _import(module).CONTENDER(job)


def _import(module: str) -> Any:
    return importlib.import_module(f"benchmarks.frameworks.{module}")


def results(phase: str) -> dict[str, Array]:
    """The results of one call, by name."""
    return _loaded.arrays(phase, getattr(_loaded, phase)())


def run_round(phase: str, seconds: float) -> float:
    """The median seconds of a call, of the calls that fit in ``seconds``, after one more call.

    The first call after another process has run finds that process's data in the caches.
    """
    call = getattr(_loaded, phase)
    call()
    times: list[float] = []
    while not times or sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def transposed(weight: Any) -> Array:
    """A matrix in the other order, contiguous."""
    return np.ascontiguousarray(np.asarray(weight).T)
