"""How many gates of a layer sit at one end, where they hardly learn."""

import torch
from torch import Tensor, nn

from scratch_cells import trace
from scratch_cells.layers import RecurrentStack

HIGH, LOW = 0.9, 0.1
"""Above HIGH a gate is open, below LOW it is shut; a candidate, which has a sign, below -HIGH."""


@torch.no_grad()
def saturation(layer: nn.Module, sequences: Tensor) -> dict[str, float]:
    """The share of each gate's values, over units, steps and sequences, at either end.

    Args:
        layer: scratch, builtin or of the user's own cell.
        sequences: what it reads.

    Returns:
        ``"layer 0 forget/open"``, ``"layer 0 forget/shut"`` and so on, each from 0 to 1; nothing
        for a layer whose gates cannot be seen.
    """
    if not isinstance(layer, RecurrentStack | nn.RNNBase):
        return {}
    shares = {}
    for cell in trace(layer, sequences):
        place = f"layer {cell.layer}{' reverse' if cell.reverse else ''}"
        for name, gate in cell.gates._asdict().items():
            low = -HIGH if name == "candidate" else LOW
            shares[f"{place} {name}/open"] = (gate > HIGH).float().mean().item()
            shares[f"{place} {name}/shut"] = (gate < low).float().mean().item()
    return shares
