"""See what a recurrent layer does while it reads a digit: gates, states, gradients, answers."""

from gate_explorer.arrays import observation_to_arrays, trace_to_arrays
from gate_explorer.errors import ExplorerError
from gate_explorer.figure import explore
from gate_explorer.observation import CellObservation, Observation, observe

__all__ = [
    "CellObservation",
    "ExplorerError",
    "Observation",
    "explore",
    "observation_to_arrays",
    "observe",
    "trace_to_arrays",
]
