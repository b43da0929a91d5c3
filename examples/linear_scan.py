"""A recurrence h' = a ⊙ h + b, with a and b known for all time steps, computed in parallel.

Two steps in a row are one step of the same form: a₂ ⊙ (a₁ ⊙ h + b₁) + b₂. So pairs of steps, then
pairs of pairs, can be joined at the same time: log₂ T rounds instead of T steps.

Source: G. Blelloch, Prefix Sums and Their Applications (1990); the rounds are those of W. D. Hillis
& G. L. Steele, Data Parallel Algorithms (1986).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratch_cells import Cell, layer_of
from scratch_cells.unroll import unroll


class Coefficients(NamedTuple):
    """a and b of h' = a ⊙ h + b, (T, B, H) each, or (B, H) for one time step."""

    kept: Tensor
    added: Tensor


def linear_scan(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Compute h' = a ⊙ h + b for all time steps.

    Args:
        a, b: the coefficients of every step, (T, B, H).
        h: the state before the first step, (B, H).

    Returns:
        The state after every step, (T, B, H).
    """
    b = torch.cat([a[:1] * h + b[:1], b[1:]])  # the first step includes the initial state
    offset = 1
    while offset < len(a):  # a[t], b[t] describe the last `offset` steps up to t, or all of them
        b = torch.cat([b[:offset], a[offset:] * b[:-offset] + b[offset:]])
        a = torch.cat([a[:offset], a[offset:] * a[:-offset]])
        offset *= 2
    return b


def scan_unroll(
    cell: Cell, input: Tensor, state: Tensor, batch_sizes: Any = None, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """``scratch_cells.unroll.unroll`` for a cell that has ``coefficients``, in parallel."""
    if batch_sizes is not None:  # packed sequences: the loop
        return unroll(cell, input, state, batch_sizes, reverse)
    a, b = cell.coefficients(cell.gates(cell.project(input)))
    states = (
        linear_scan(a.flip(0), b.flip(0), state).flip(0) if reverse else linear_scan(a, b, state)
    )
    return states, states[0] if reverse else states[-1]


def scan_layer_of(cell_class: type[Cell]) -> type:
    """A layer class like ``layer_of(cell_class)`` that computes all time steps in parallel."""

    class ScanLayer(layer_of(cell_class)):
        def forward(self, input: Any, hx: Any = None) -> Any:
            return self.run(input, hx, scan_unroll)

    ScanLayer.__name__ = ScanLayer.__qualname__ = cell_class.__name__.removesuffix("Cell")
    ScanLayer.__module__ = cell_class.__module__
    return ScanLayer
