"""The order of the units in the heatmaps, and a subset of them where there are too many to draw."""

import numpy as np

from gate_explorer.observation.observe import CellObservation
from gate_explorer.observation.time_bins import Array

MAX_UNITS = 256
"""Units in one heatmap. More columns would each be thinner than a pixel of the screen."""
MIN_UNITS = 8
"""Units in one heatmap, even if the page grows larger than MAX_VALUES allows."""
MAX_VALUES = 1_200_000
"""Values in all heatmaps of a page, at 5.3 bytes each: a page is below 7 MB."""


def peak_order(values: Array) -> Array:
    """The units, columns of (T, units), sorted by the step at which their magnitude peaks."""
    order: Array = np.abs(values).argmax(axis=0).argsort(kind="stable")
    return order


def unit_orders(cell: CellObservation) -> dict[int, Array]:
    """The order of the units in all heatmaps of a cell, by number of units: {units: order}.

    Units are sorted by when the hidden state peaks. If the hidden state is a projection, its units
    differ from those of the gates, which are then sorted by when the cell state peaks.
    """
    orders: dict[int, Array] = {}
    for state in cell.states.values():
        orders.setdefault(state.shape[1], peak_order(state))
    for gate in cell.gates.values():
        orders.setdefault(gate.shape[1], peak_order(gate))
    return orders


def units_per_heatmap(num_heatmaps: int, num_bins: int) -> int:
    """How many units each heatmap of a page may show, so that the page stays small enough."""
    return max(MIN_UNITS, min(MAX_UNITS, MAX_VALUES // (num_heatmaps * num_bins)))


def evenly_spaced(order: Array, limit: int) -> Array:
    """At most ``limit`` of the units, evenly spaced in their order."""
    return order[:: -(-len(order) // limit)]
