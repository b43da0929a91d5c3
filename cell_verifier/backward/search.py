"""Search the mistakes with which the derivation gives the user's gradients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cell_verifier.backward.mistake import Candidate
from cell_verifier.backward.passes import Edits

Gradients = dict[str, Tensor]
"""By the name of the user's argument or parameter."""

Simulate = Callable[[Edits], Gradients]
"""The gradients of the derivation with these edits."""

BEAM = 4
"""How many first mistakes are continued with a second one. Each costs one pass for each candidate,
about a millisecond."""


def search(
    observed: Gradients, simulate: Simulate, pool: Sequence[Candidate], tolerance: float
) -> tuple[Candidate, ...] | None:
    """One or two mistakes that explain every observed gradient; None if there are none.

    A second mistake is searched for only where the first one explains some of the elements that
    the right derivation does not.
    """

    def score_of(edits: Edits) -> float:
        try:
            return _matching(observed, simulate(edits), tolerance)
        except RuntimeError:  # a transposed matrix that fits only with square sizes
            return 0.0

    base = score_of(Edits())
    scored: list[tuple[float, Candidate]] = []
    for each in pool:
        score = score_of(each.edits)
        if score == 1:
            return (each,)
        if score > base:
            scored.append((score, each))
    scored.sort(key=lambda pair: -pair[0])
    for _, first in scored[:BEAM]:
        for second in pool:
            if first.mistake is second.mistake or first.edits.overlaps(second.edits):
                continue
            if score_of(first.edits | second.edits) == 1:
                return tuple(sorted((first, second), key=pool.index))
    return None


def relative_difference(got: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected element (at least 1)."""
    if got.shape != expected.shape or not bool(got.isfinite().all()):
        return float("inf")
    return float((got - expected).abs().max() / _scale(expected))


def _matching(observed: Gradients, expected: Gradients, tolerance: float) -> float:
    """The share of the elements that match; 1 if all do."""
    matching = total = 0
    for name, got in observed.items():
        total += got.numel()
        if got.shape == expected[name].shape:
            near = (got - expected[name]).abs() <= tolerance * _scale(expected[name])
            matching += int(torch.count_nonzero(near))
    return matching / total


def _scale(expected: Tensor) -> float:
    return max(1.0, float(expected.abs().max()))
