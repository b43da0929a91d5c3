"""Bins of consecutive time steps."""

import numpy as np
import pytest

from gate_explorer.observation.time_bins import TimeBins


@pytest.mark.parametrize(("time", "size", "count"), [(28, 1, 28), (784, 4, 196), (513, 3, 171)])
def test_bins_are_blocks_of_consecutive_steps(time: int, size: int, count: int) -> None:
    bins = TimeBins.for_time(time)
    assert (bins.size, len(bins), len(bins.labels)) == (size, count, count)
    values = np.arange(time, dtype=float)[:, None] * [1, -1]
    last = values[-1, 0]
    assert bins.mean(values)[0, 0] == np.arange(size).mean()
    assert bins.max(values)[-1].tolist() == [last, -bins.first_steps[-1]]
    assert bins.last(values)[-1, 0] == last


def test_a_smaller_last_bin_has_the_mean_of_its_own_steps() -> None:
    bins = TimeBins(time=5, size=2)
    assert bins.labels == ["1–2", "3–4", "5"]
    assert bins.mean(np.arange(5.0)).tolist() == [0.5, 2.5, 4.0]
