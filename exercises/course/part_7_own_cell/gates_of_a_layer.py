"""The gates of a layer.

A trained gate shows what a layer has learned: which units wait, which forget at once, where in a
digit something happens. ``torch.nn`` does not return its gates. ``scratch_cells.trace`` runs a
layer, torch.nn's or one made of your own cell, and records every gate at every step:

    traced = trace(layer, x)
    traced.of(layer=0).gates              the Gates of the first layer: a NamedTuple
    traced.of(layer=0).gates.forget       of an LSTM: (T, B, H)

Write ``mean_gates``: the mean of each gate of the first layer at every time step, over the samples
and the units. It is a curve over time for each gate. For a trained LSTM, compare the curve of the
forget gate at the blank rows of a digit with that at its strokes.

The explorer shows every unit: ``python -m gate_explorer runs/NAME``.

Shapes: x (T, B, I); each result (T,).
"""

from torch import Tensor, nn

from scratch_cells import trace


def mean_gates(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the mean of each gate at every time step, (T,), by the gate's name."""
    # begin solution: record the gates of the first layer, and average each; return them by name
    gates = trace(layer, x).of(layer=0).gates  # the gates of the first layer, (T, B, H) each
    by_name = gates._asdict()  # the gates by name
    means = {name: gate.mean(dim=(1, 2)) for name, gate in by_name.items()}  # over B and H: (T,)
    return means  # the means by name
    # end solution
