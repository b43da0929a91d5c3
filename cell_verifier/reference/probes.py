"""What a cell is asked: sizes that all differ, random inputs, states and weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_verifier.reference.kinds import Kind

INPUT_SIZE = 8
HIDDEN_SIZE = 6
BATCH = 3
TIME = 4
"""No two of these, nor any sum or multiple that a weight could have for an axis, are equal."""


@dataclass(frozen=True)
class Precision:
    """The dtype of a comparison and how far right numbers may lie apart in it."""

    dtype: torch.dtype
    outputs: float
    gradients: float
    reproduced: float
    """How near a known mistake's algebra must come to the user's numbers to be named."""


FLOAT64 = Precision(torch.float64, outputs=1e-10, gradients=1e-10, reproduced=1e-6)
FLOAT32 = Precision(torch.float32, outputs=1e-5, gradients=1e-4, reproduced=1e-5)


@dataclass(frozen=True)
class Probe:
    """One question: x (T, B, I) and a state, (L*D, B, H) each part, or (B, H) for a cell."""

    x: Tensor
    state: tuple[Tensor, ...]

    def require_grad(self) -> "Probe":
        """The same numbers as leaves whose gradients can be asked for."""
        return Probe(
            self.x.clone().requires_grad_(),
            tuple(part.clone().requires_grad_() for part in self.state),
        )

    def copy(self) -> "Probe":
        """The same numbers in tensors of their own, for code that may change them."""
        return Probe(self.x.clone(), tuple(part.clone() for part in self.state))

    def zero_state(self) -> "Probe":
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
    """A probe for a cell (``cells=0``: no layer axis) or for ``cells`` = L*D cells in a stack."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    axes = (cells, batch) if cells else (batch,)
    x = normal(time, batch, input_size)
    return Probe(x, tuple(normal(*axes, HIDDEN_SIZE) for _ in kind.state))


def fill_weights(module: nn.Module, seed: int = 2) -> None:
    """Give every parameter random numbers, all different, biases too.

    A mistake can hide behind zero biases or equal ones.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.6 * drawn)
