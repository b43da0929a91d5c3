"""The units of a cell in the order in which they are shown, and as many as can be seen."""

import numpy as np

from gate_explorer.observation.observe import CellObservation
from gate_explorer.observation.time_bins import Array

MAX_UNITS = 256
MIN_UNITS = 8
MAX_VALUES = 1_200_000
"""Numbers in all heatmaps of a page, at 5.3 bytes each: with plotly.js it stays below 15 MB."""


def peak_order(values: Array) -> Array:
    """The units (columns) of (T, units) by the step at which each is largest in magnitude."""
    order: Array = np.abs(values).argmax(axis=0).argsort(kind="stable")
    return order


def unit_orders(cell: CellObservation) -> dict[int, Array]:
    """One order of the units for all heatmaps of a cell: by when the hidden state peaks.

    Where the hidden state is a projection its units are not those of the gates, which then follow
    the cell state: so there is one order for each number of units.
    """
    orders: dict[int, Array] = {}
    for state in cell.states.values():
        orders.setdefault(state.shape[1], peak_order(state))
    for gate in cell.gates.values():
        orders.setdefault(gate.shape[1], peak_order(gate))
    return orders


def units_shown(heatmaps: int, rows: int) -> int:
    """How many units each of so many heatmaps may show, so that the page does not grow too big."""
    return max(MIN_UNITS, min(MAX_UNITS, MAX_VALUES // (heatmaps * rows)))


def every_kth(order: Array, limit: int) -> Array:
    """At most ``limit`` of the units, evenly spread along their order."""
    return order[:: -(-len(order) // limit)]
