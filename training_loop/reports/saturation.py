"""Gate saturation: the share of gate values close to either end of their range.

The derivative of a sigmoid or tanh is close to 0 there, so a saturated gate learns slowly.
"""

from typing import Any

import torch
from torch import Tensor, nn

from scratch_cells import trace
from scratch_cells.recurrent_stack import RecurrentStack

HIGH, LOW = 0.9, 0.1
"""A gate is open above HIGH and shut below LOW. Signed values are shut below -HIGH."""


def is_gate(name: str, values: Any) -> bool:
    """True if ``values`` are those of a gate, which scales by a factor from 0 to 1.

    A candidate is not a gate, nor is any other field of ``Gates`` with a value outside [0, 1], for
    example one that a user's cell computes by tanh.

    Args:
        name: the field of the cell's ``Gates``.
        values: a tensor or NumPy array of its activations at all steps, samples and units.
    """
    return name != "candidate" and bool(values.min() >= 0 and values.max() <= 1)


def saturated(name: str, values: Any) -> tuple[Any, Any]:
    """Two masks of the shape of ``values``: where it is open, and where it is shut.

    Open is above 0.9. Shut is below 0.1 for a gate, and below -0.9 for what is not a gate.

    Args:
        name, values: as in ``is_gate``.
    """
    low = LOW if is_gate(name, values) else -HIGH
    return values > HIGH, values < low


@torch.no_grad()
def saturation(layer: nn.Module, sequences: Tensor) -> dict[str, float]:
    """The share of each gate's values, over units, steps and sequences, that are open or shut.

    Args:
        layer: a scratch or builtin layer, or a layer of the user's own cell.
        sequences: input of the layer.

    Returns:
        ``"layer 0 forget/open"``, ``"layer 0 forget/shut"`` and so on, each from 0 to 1; an empty
        dictionary if the layer cannot be traced.
    """
    if not can_trace(layer):
        return {}
    shares = {}
    for cell in trace(layer, sequences):
        prefix = f"layer {cell.layer}{' reverse' if cell.reverse else ''}"
        for name, values in cell.gates._asdict().items():
            open_, shut = saturated(name, values)
            shares[f"{prefix} {name}/open"] = open_.float().mean().item()
            shares[f"{prefix} {name}/shut"] = shut.float().mean().item()
    return shares


def can_trace(layer: nn.Module) -> bool:
    """True if ``scratch_cells.trace`` accepts the layer, so that its gates can be observed."""
    return isinstance(layer, RecurrentStack | nn.RNNBase)
