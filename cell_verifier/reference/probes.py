"""Random test inputs, states and weights, with distinct sizes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_verifier.reference.kinds import Kind

INPUT_SIZE = 8
HIDDEN_SIZE = 6
BATCH = 3
TIME = 4
"""The four sizes, and their sums and multiples that can be an axis of a weight, all differ, so that
a shape identifies its axes."""


@dataclass(frozen=True)
class Precision:
    """A dtype and its tolerances, all relative to the largest expected element.

    Attributes:
        dtype: float64 or float32.
        outputs: tolerance for outputs and states compared with torch.nn's.
        gradients: tolerance for gradients compared with torch.nn's.
        match: tolerance for a diagnosis: the equations with a known mistake must match the user's
            outputs this closely.
    """

    dtype: torch.dtype
    outputs: float
    gradients: float
    match: float


FLOAT64 = Precision(torch.float64, outputs=1e-10, gradients=1e-10, match=1e-6)
FLOAT32 = Precision(torch.float32, outputs=1e-5, gradients=1e-4, match=1e-5)


@dataclass(frozen=True)
class Probe:
    """A test input: x (T, B, I) and a state, each part (L*D, B, H), or (B, H) for a cell."""

    x: Tensor
    state: tuple[Tensor, ...]

    def require_grad(self) -> "Probe":
        """A copy whose tensors are leaves that require a gradient."""
        return Probe(
            self.x.clone().requires_grad_(),
            tuple(part.clone().requires_grad_() for part in self.state),
        )

    def copy(self) -> "Probe":
        """A copy, for code that may change its arguments in place."""
        return Probe(self.x.clone(), tuple(part.clone() for part in self.state))

    def zero_state(self) -> "Probe":
        """The same input with a state of zeros."""
        return Probe(self.x, tuple(torch.zeros_like(part) for part in self.state))


def draw_probe(
    kind: Kind,
    *,
    cells: int = 0,
    time: int = TIME,
    batch: int = BATCH,
    input_size: int = INPUT_SIZE,
    dtype: torch.dtype = torch.float64,
    seed: int = 1,
) -> Probe:
    """Draw a probe for a cell (``cells=0``: no layer axis) or a layer of ``cells`` = L*D cells."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    axes = (cells, batch) if cells else (batch,)
    x = normal(time, batch, input_size)
    return Probe(x, tuple(normal(*axes, HIDDEN_SIZE) for _ in kind.state))


def fill_weights(module: nn.Module, seed: int = 2) -> None:
    """Fill every parameter, biases too, with random values that all differ.

    Zero biases, or equal ones, would hide some mistakes.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.6 * drawn)
