"""Traces and observations as plain dicts of NumPy arrays, and as one .npz file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from command_line.files import atomic_write
from gate_explorer.observation.observe import Observation
from gate_explorer.observation.time_bins import Array
from scratch_cells import Trace


def trace_to_arrays(trace: Trace) -> dict[str, Array]:
    """Convert every gate and state of a trace to NumPy arrays.

    Returns:
        ``layer0.gates.forget``, ``layer0.states.hidden``, ``layer0.reverse.gates.forget``, ... and
        ``output``. Shapes are those of the trace; for packed sequences, of the packed data.
    """
    arrays = {"output": _array(trace.output)}
    for cell in trace:
        prefix = _prefix(cell.layer, cell.reverse)
        for name, gate in cell.gates._asdict().items():
            arrays[f"{prefix}.gates.{name}"] = _array(gate)
        for name, state in cell.states.items():
            arrays[f"{prefix}.states.{name}"] = _array(state)
    return arrays


def observation_to_arrays(observation: Observation) -> dict[str, Array]:
    """Convert everything in an observation to NumPy arrays.

    Returns:
        ``image``, ``steps``, ``probabilities`` and ``input_gradient``; ``difference`` and
        ``label`` if they are not None; and for each cell ``layer0.gates.forget``,
        ``layer0.states.hidden``, ``layer0.gradients.hidden``, ...
    """
    arrays: dict[str, Array] = {
        name: getattr(observation, name)
        for name in ("image", "steps", "probabilities", "input_gradient")
    }
    if observation.difference is not None:
        arrays["difference"] = observation.difference
    if observation.label is not None:
        arrays["label"] = np.array(observation.label)
    for cell in observation.cells:
        for kind in ("gates", "states", "gradients"):
            for name, values in getattr(cell, kind).items():
                arrays[f"{_prefix(cell.layer, cell.reverse)}.{kind}.{name}"] = values
    return arrays


def write_npz(path: Path, observations: Sequence[Observation]) -> None:
    """Write one .npz file. Names of several observations have its index: ``0.steps``, ``1.steps``.

    Raises:
        OSError: the file cannot be written.
    """
    if len(observations) == 1:
        arrays = observation_to_arrays(observations[0])
    else:
        arrays = {
            f"{index}.{name}": array
            for index, observation in enumerate(observations)
            for name, array in observation_to_arrays(observation).items()
        }
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle


def _prefix(layer: int, reverse: bool) -> str:
    return f"layer{layer}" + (".reverse" if reverse else "")


def _array(values: Tensor | PackedSequence | Any) -> Array:
    data = values.data if isinstance(values, PackedSequence) else values
    array: Array = data.detach().cpu().numpy()
    return array
