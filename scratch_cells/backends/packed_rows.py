"""Where the rows of packed sequences are, in the input and in the buffers of the states.

The sequences are sorted by length, the longest first. Time step t has one row for each sequence
that is longer than t, so the rows of a step are those of the first sequences. B is the number of
sequences, ΣT the sum of their lengths.

    x, outputs, gates          | step 0 | step 1 | ...      ΣT rows
    h, c           | B rows    | step 0 | step 1 | ...      B + ΣT rows

In the order of the sequence, the first B rows of h and c are the initial state, and the rows of
step t are the state after it. So the state before step t is in the first rows of step t - 1, and
the final state of a sequence in its row of its last step.

In reverse it is the opposite: the rows of step t are the state before it, and the state after it is
in the first rows of step t - 1. The initial state of a sequence is in its row of its last step, and
the first B rows are the final state. Neither direction moves a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[numpy.int64]


@dataclass(frozen=True, eq=False)
class PackedRows:
    """The rows of consecutive time steps of packed sequences.

    Attributes:
        batch_sizes: number of rows of each time step; no step has more rows than the one before.
        offsets: first rows in h and c, (T+2,): of the step before, of every step, and of the step
            after them. Before the first step of the sequences, "the step before" has B rows.
    """

    batch_sizes: tuple[int, ...]
    offsets: Integers

    @property
    def batch(self) -> int:
        """Number of sequences, B."""
        return self.batch_sizes[0]

    @property
    def total(self) -> int:
        """Number of rows of all steps."""
        return int(self.offsets[-1] - self.offsets[1])

    @cached_property
    def last_rows(self) -> Integers:
        """In h, the row of each sequence in its last time step, (B,)."""
        sequences = numpy.arange(self.batch)
        lengths = numpy.searchsorted(-numpy.asarray(self.batch_sizes), -sequences)
        rows: Integers = self.offsets[lengths] + sequences
        return rows

    @cached_property
    def earlier_rows(self) -> Integers:
        """In h, the row of the same sequence one step before, for each row of x, (ΣT,)."""
        moved = self.offsets[1:-1] - self.offsets[:-2]
        rows: Integers = numpy.arange(self.offsets[1], self.offsets[-1])
        return rows - numpy.repeat(moved, self.batch_sizes)

    def steps(self, data: Tensor) -> tuple[Tensor, ...]:
        """One view for each time step of a tensor that has the rows of x."""
        steps: tuple[Tensor, ...] = data.split(self.batch_sizes)
        return steps

    def steps_of_states(self, states: Tensor, earlier: bool) -> tuple[Tensor, ...]:
        """One view of the rows of each time step, or of the same sequences one step earlier.

        Args:
            states: rows of h or c, from the first of these rows on.
            earlier: whether the rows of the step before are returned.
        """
        starts = self.offsets[:-2] if earlier else self.offsets[1:-1]
        places = zip((starts - starts[0]).tolist(), self.batch_sizes, strict=True)
        return tuple(states[start : start + size] for start, size in places)

    def part(self, first: int, end: int) -> "PackedRows":
        """The rows of the steps from ``first`` to ``end``, without ``end``."""
        return PackedRows(self.batch_sizes[first:end], self.offsets[first : end + 2])

    def in_largest_span(self, rows: int) -> int:
        """Maximum number of rows in one of the spans."""
        return max(self.part(*span).total for span in self.spans(rows))

    def spans(self, rows: int) -> list[tuple[int, int]]:
        """The steps cut into spans (first, end) of at most ``rows`` rows, or of one step."""
        bounds, start = [0], 0
        ends = self.offsets[2:] - self.offsets[1]
        while bounds[-1] < len(self.batch_sizes):
            end = int(numpy.searchsorted(ends, start + rows, side="right"))
            bounds.append(max(end, bounds[-1] + 1))
            start = int(ends[bounds[-1] - 1])
        return list(pairwise(bounds))


@lru_cache(maxsize=64)
def packed_rows(batch_sizes: Sequence[int]) -> PackedRows:
    """The rows of packed sequences with these batch sizes."""
    offsets = numpy.cumsum([0, batch_sizes[0], *batch_sizes], dtype=numpy.int64)
    return PackedRows(tuple(batch_sizes), offsets)
