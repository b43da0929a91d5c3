"""All time steps at once, for any cell: Newton's method over the whole sequence.

    python -m examples.newton

The states of a sequence solve T equations s_t = F(x_t, s_{t-1}). The loop solves them one after
the other. Newton's method begins with a guess for all of them, and repeats:

    J_t  = ∂F/∂s at (x_t, s_{t-1})                           for all t at the same time
    s'_t = J_t s'_{t-1} + F(x_t, s_{t-1}) - J_t s_{t-1}      a linear recurrence: a parallel scan

After k iterations the first k states are exact, because the first state depends on nothing
unknown. So T iterations always suffice; usually a few do.

Source: Y. H. Lim et al., Parallelizing Non-Linear Sequential Models over the Sequence Length
(2023), arXiv:2309.12252.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from scratch_cells import Cell, GRUCell, LSTMCell, RNNCell
from scratch_cells.cell import parts, whole
from scratch_cells.unroll import unroll
from shared_interface import State


def newton_iterations(cell: Cell, input: Tensor, state: State) -> Iterator[Tensor]:
    """Yield the states of all time steps after each iteration, (T, B, n), without end.

    Args:
        cell: any cell, in evaluation mode.
        input: (T, B, I).
        state: the state before the first step, (B, size) each part. n is the sum of the sizes: an
            LSTM's h and c are one vector.
    """
    projected = cell.project(input)  # (T, B, G*H)
    sizes = cell.state_sizes
    initial = torch.cat(parts(state), dim=-1)  # (B, n)

    def step(projected: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        updated = cell.step(projected, whole(s.split(sizes, dim=-1)))
        joined = torch.cat(parts(updated), dim=-1)
        return joined, joined  # differentiated, and returned as it is

    linearized = vmap(vmap(jacrev(step, argnums=1, has_aux=True)))  # over T and B
    states = torch.zeros(*input.shape[:2], sum(sizes), dtype=input.dtype)
    while True:
        before = torch.cat([initial[None], states[:-1]])
        J, F = linearized(projected, before)  # noqa: N806   (T, B, n, n), (T, B, n)
        states = matrix_scan(J, F - apply(J, before), initial)
        yield states


def apply(J: Tensor, s: Tensor) -> Tensor:  # noqa: N803
    """J s for every time step and sequence: (T, B, n, n), (T, B, n) -> (T, B, n)."""
    return (J @ s.unsqueeze(-1)).squeeze(-1)


def matrix_scan(A: Tensor, b: Tensor, s: Tensor) -> Tensor:  # noqa: N803
    """``linear_scan`` for s' = A s + b with matrices: (T, B, n, n), (T, B, n), (B, n)."""
    b = torch.cat([apply(A[:1], s[None]) + b[:1], b[1:]])
    offset = 1
    while offset < len(A):
        b = torch.cat([b[:offset], apply(A[offset:], b[:-offset]) + b[offset:]])
        A = torch.cat([A[:offset], A[offset:] @ A[:-offset]])  # noqa: N806
        offset *= 2
    return b


def main() -> None:
    """Print how fast the error falls, for the three cells."""
    torch.manual_seed(0)
    x = torch.randn(100, 1, 8, dtype=torch.float64)
    for cell_class in (RNNCell, GRUCell, LSTMCell):
        cell = cell_class(8, 16, dtype=torch.float64)
        right, _ = unroll(cell, x, cell.zero_state(x[0]))
        errors = []
        for states in islice(newton_iterations(cell, x, cell.zero_state(x[0])), 8):
            errors.append(float((states[..., :16] - right).abs().max()))
        print(cell_class.__name__, " ".join(f"{error:.0e}" for error in errors))


if __name__ == "__main__":
    with torch.no_grad():
        main()
