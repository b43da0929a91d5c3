"""Random weights of one cell, and the difference between two runs."""

import torch

from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE
from cell_verifier.reference.simulate import RunResult


def draw_weights(kind: str, input_size: int = INPUT_SIZE) -> Weights:
    """Random weights, peepholes included, in float64."""
    gates = len(KINDS[kind].gates)
    generator = torch.Generator().manual_seed(11)
    shapes = [(input_size,), (HIDDEN_SIZE,), (), (), (HIDDEN_SIZE,)]
    return Weights(
        *(
            torch.randn(gates, HIDDEN_SIZE, *shape, generator=generator, dtype=torch.float64)
            for shape in shapes
        )
    )


def max_difference(one: RunResult, other: RunResult) -> float:
    """The largest absolute difference of any element."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)
