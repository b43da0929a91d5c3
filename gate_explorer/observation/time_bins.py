"""The rows of a picture: steps, or where there are more than can be seen, blocks of steps."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_ROWS = 256
"""Rows of a picture: more would be thinner than a pixel of the screen."""


@dataclass(frozen=True)
class Rows:
    """The rows of a picture, each ``size`` consecutive steps of a sequence.

    The last row holds what is left over.
    """

    time: int
    size: int

    @classmethod
    def for_time(cls, time: int) -> Self:
        """As few steps to a row as leave no more than MAX_ROWS rows."""
        return cls(time, -(-time // MAX_ROWS))

    def __len__(self) -> int:
        return -(-self.time // self.size)

    @property
    def starts(self) -> list[int]:
        """The first step of each row."""
        return list(range(0, self.time, self.size))

    @property
    def ends(self) -> list[int]:
        """The last step of each row."""
        return [min(start + self.size, self.time) - 1 for start in self.starts]

    @property
    def labels(self) -> list[str]:
        """``"7"``, or for rows of several steps ``"28–31"``."""
        if self.size == 1:
            return [str(start) for start in self.starts]
        return [f"{start}–{end}" for start, end in zip(self.starts, self.ends, strict=True)]

    def mean(self, values: Array) -> Array:
        """(T, ...) -> (rows, ...): the mean of each row's steps."""
        sizes = np.diff([*self.starts, self.time]).reshape(-1, *[1] * (values.ndim - 1))
        means: Array = np.add.reduceat(values, self.starts, axis=0) / sizes
        return means.astype(values.dtype)

    def largest(self, values: Array) -> Array:
        """(T, ...) -> (rows, ...): the largest of each row's steps."""
        return np.maximum.reduceat(values, self.starts, axis=0)

    def last(self, values: Array) -> Array:
        """(T, ...) -> (rows, ...): the value after each row's last step."""
        taken: Array = values[self.ends]
        return taken
