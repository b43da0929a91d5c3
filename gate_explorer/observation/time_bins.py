"""Time bins: groups of consecutive time steps, one group for each row that a panel draws."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_BINS = 256
"""Maximum number of rows in a panel. More rows would each be thinner than a pixel of the screen."""


@dataclass(frozen=True)
class TimeBins:
    """A sequence of ``time`` steps in bins of ``size`` consecutive steps; the last may be smaller.

    A short sequence has bins of one step each.
    """

    time: int
    size: int

    @classmethod
    def for_time(cls, time: int) -> Self:
        """The smallest bin size that gives at most MAX_BINS bins."""
        return cls(time, -(-time // MAX_BINS))

    def __len__(self) -> int:
        return -(-self.time // self.size)

    @property
    def first_steps(self) -> list[int]:
        """The first step of each bin."""
        return list(range(0, self.time, self.size))

    @property
    def last_steps(self) -> list[int]:
        """The last step of each bin."""
        return [min(first + self.size, self.time) - 1 for first in self.first_steps]

    @property
    def labels(self) -> list[str]:
        """``"8"`` for a bin of one step, ``"29–32"`` for a bin of several; the first step is 1."""
        ends = zip(self.first_steps, self.last_steps, strict=True)
        return [
            f"{first + 1}" if first == last else f"{first + 1}–{last + 1}" for first, last in ends
        ]

    def mean(self, values: Array) -> Array:
        """The mean over the steps of each bin: (T, ...) -> (bins, ...)."""
        sizes = np.diff([*self.first_steps, self.time]).reshape(-1, *[1] * (values.ndim - 1))
        means: Array = np.add.reduceat(values, self.first_steps, axis=0) / sizes
        return means.astype(values.dtype)

    def max(self, values: Array) -> Array:
        """The maximum over the steps of each bin: (T, ...) -> (bins, ...)."""
        return np.maximum.reduceat(values, self.first_steps, axis=0)

    def last(self, values: Array) -> Array:
        """The value at the last step of each bin: (T, ...) -> (bins, ...)."""
        selected: Array = values[self.last_steps]
        return selected
