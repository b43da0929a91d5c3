"""The order of the units, and the choice of those that are shown."""

import numpy as np

from gate_explorer.panels.downsample import evenly_spaced, peak_order


def test_units_that_peak_at_the_same_step_keep_their_order() -> None:
    values = np.array([[0.1, -0.9, 0.2, 0.8], [0.5, 0.1, -0.6, 0.1]])
    assert peak_order(values).tolist() == [1, 3, 0, 2]


def test_omitted_units_are_evenly_spaced() -> None:
    assert evenly_spaced(np.arange(10), 4).tolist() == [0, 3, 6, 9]
