"""When does Newton's method over the whole sequence pay? ``python -m benchmarks.parallel_in_time``

Compares ``examples/newton.py`` with the loop, in inference: the time until the states are within
1e-5 of the loop's (float32), over the time of the plain loop and of the default backend.
"""

from functools import partial
from itertools import product

import torch
from torch import Tensor

from benchmarks.timing import interleave
from examples.newton import newton_iterations
from scratch_cells import GRUCell
from scratch_cells.backends import select_backend
from scratch_cells.unroll import unroll

ROUNDS = 5
TOLERANCE = 1e-5
LARGEST = 16 * 16 * 10000
"""units x units x steps: above it, the Jacobians alone would take seconds."""


def newton(cell: GRUCell, x: Tensor, right: Tensor) -> int:
    """Iterate until the states are right; return the number of iterations."""
    for count, states in enumerate(newton_iterations(cell, x, cell.zero_state(x[0])), start=1):
        if (states - right).abs().max() < TOLERANCE:
            return count
    raise AssertionError("newton_iterations yields without end")


@torch.no_grad()
def main() -> None:
    """Print one row for each size."""
    print(f"GRU, batch 1: the time of Newton's method over that of the loop, {ROUNDS} rounds")
    print("units  steps  iterations  over the plain loop  over the default backend")
    for units, time in product((1, 2, 4, 16, 64), (100, 1000, 10000)):
        if units * units * time > LARGEST:
            continue
        torch.manual_seed(0)
        cell = GRUCell(4, units)
        x = torch.randn(time, 1, 4)
        state = cell.zero_state(x[0])
        right, _ = unroll(cell, x, state)
        count = newton(cell, x, right)
        ours = partial(newton, cell, x, right)
        loops = {
            "plain": partial(unroll, cell, x, state),
            "default": partial(select_backend(cell, x, state).run, False),
        }
        ratios = []
        for name, loop in loops.items():
            calls = {"newton": ours, name: loop}
            ratios.append(str(interleave(calls, name, ROUNDS, x.device)["newton"]))
        print(f"{units:5}  {time:5}  {count:10}  {ratios[0]:>20}  {ratios[1]:>24}", flush=True)


if __name__ == "__main__":
    main()
