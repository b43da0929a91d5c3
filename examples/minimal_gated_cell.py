"""A user's own cell, written with the package as a user would."""

from typing import NamedTuple

import torch
from torch import Tensor

from scratch_cells import Cell


class MinimalGatedCell(Cell):
    """Zhou et al., Minimal Gated Unit for Recurrent Neural Networks (2016), arXiv:1603.09420.

    f = σ(W_f x + U_f h);  n = tanh(W_n x + U_n (f ⊙ h));  h' = (1 - f) ⊙ h + f ⊙ n
    """

    class Gates(NamedTuple):
        forget: Tensor
        candidate: Tensor

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        f_x, n_x = projected.chunk(2, dim=-1)
        U_f, U_n = self.hidden_to_hidden.weight.chunk(2)  # noqa: N806
        b_f, b_n = self.hidden_to_hidden.bias.chunk(2)
        f = torch.sigmoid(f_x + h @ U_f.T + b_f)
        n = torch.tanh(n_x + (f * h) @ U_n.T + b_n)
        return self.Gates(forget=f, candidate=n)

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        f, n = gates
        return (1 - f) * h + f * n


class TwoPartCell(Cell):
    """A cell with a state of its own kind: h, and the running sum of all candidates."""

    state_names = ("hidden", "total")

    class Gates(NamedTuple):
        candidate: Tensor

    def gates(self, projected: Tensor, state: tuple[Tensor, Tensor]) -> Gates:
        h, total = state
        return self.Gates(torch.tanh(projected + self.hidden_to_hidden(h) - 0.1 * total))

    def update(self, gates: Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        (n,) = gates
        return n, state[1] + n
