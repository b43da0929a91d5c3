"""What the tests of the fused backend share, in the interpreter and on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

import scratch_cells
from scratch_cells.backends import triton_backend as fused
from scratch_cells.cell import Cell, parts
from tests.helpers.strategies import KINDS

CELLS = {
    "RNN": scratch_cells.RNNCell,
    "RNN relu": partial(scratch_cells.RNNCell, nonlinearity="relu"),
    "GRU": scratch_cells.GRUCell,
    "LSTM": scratch_cells.LSTMCell,
}
FUSED = SimpleNamespace(
    **{kind: partial(getattr(scratch_cells, kind), backend="fused") for kind in KINDS}
)
EPS = torch.finfo(torch.bfloat16).eps


def name_of(kind: str) -> str:
    """How the kernels of the cell begin."""
    return kind.lower().split()[0]


@contextmanager
def launches() -> Iterator[list[str]]:
    """The names of the kernels that are launched."""
    names = []
    launch = fused._InOneLaunch.launch

    def noted(self: Any, name: str, *given: Any, **flags: bool) -> None:
        names.append(name)
        launch(self, name, *given, **flags)

    with mock.patch.object(fused._InOneLaunch, "launch", noted):
        yield names


def draw(cell: Cell, time: int, batch: int, seed: int = 0) -> tuple[Tensor, Any]:
    """Input and state, leaves like the weights."""
    generator = torch.Generator().manual_seed(seed)
    weight = cell.hidden_to_hidden.weight
    shapes = [(time, batch, cell.input_size), *((batch, size) for size in cell.state_sizes)]
    drawn = [torch.randn(shape, generator=generator).to(weight) for shape in shapes]
    x, *state = (leaf.requires_grad_() for leaf in drawn)
    return x, tuple(state) if len(state) > 1 else state[0]


def run(way: Any, cell: Cell, x: Tensor, state: Any, reverse: bool = False) -> list[Tensor]:
    """Outputs, final state and every gradient; each element weighs differently in the loss."""
    output, final = way(cell, x, state, None, reverse)
    returned = [output, *parts(final)]
    loss = sum(
        (part * torch.linspace(-1, 1, part.numel(), device=part.device).reshape(part.shape)).sum()
        for part in returned
    )
    gradients = torch.autograd.grad(loss, [x, *cell.parameters(), *parts(state)])
    return [*returned, *gradients]


def assert_close(got: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    """Each the same up to a share of its largest element."""
    for a, b in zip(got, expected, strict=True):
        bound = tolerance * max([1.0, *b.abs().flatten().tolist()])
        torch.testing.assert_close(a, b, rtol=0, atol=bound)
