"""Shows a recurrent layer while it reads an image: gates, states, gradients and predictions."""

from typing import TYPE_CHECKING

from command_line.imports import lazy_attributes

if TYPE_CHECKING:
    from gate_explorer.errors import ExplorerError
    from gate_explorer.inputs.load_run import LoadedRun, load_run
    from gate_explorer.observation.observe import CellObservation, Observation, observe
    from gate_explorer.render.notebook import explore
    from gate_explorer.render.npz import observation_to_arrays, trace_to_arrays

__all__ = [
    "CellObservation",
    "ExplorerError",
    "LoadedRun",
    "Observation",
    "explore",
    "load_run",
    "observation_to_arrays",
    "observe",
    "trace_to_arrays",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "CellObservation": "observation.observe",
        "ExplorerError": "errors",
        "LoadedRun": "inputs.load_run",
        "Observation": "observation.observe",
        "explore": "render.notebook",
        "load_run": "inputs.load_run",
        "observation_to_arrays": "render.npz",
        "observe": "observation.observe",
        "trace_to_arrays": "render.npz",
    },
)
