"""Run a cell with a backend by its name, and find out which backend computed a result."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import scratch_cells
from scratch_cells.backends import KERNELS, select_backend
from scratch_cells.backends.bptt import BPTTFunction
from scratch_cells.backends.c_call import CallFunction
from scratch_cells.backends.c_compiler import load_library
from scratch_cells.cell import Cell, whole
from scratch_cells.lstm import ProjectedLSTMCell
from shared_interface import State
from tests.helpers.strategies import KINDS

Sizes = tuple[int, ...]
"""The batch sizes of packed sequences."""


def projected_lstm_cell(input_size: int, hidden_size: int, **options: Any) -> Cell:
    """An LSTM cell whose projection has about a third of the units."""
    return ProjectedLSTMCell(input_size, hidden_size, proj_size=-(-hidden_size // 3), **options)


CELLS: dict[str, Callable[..., Cell]] = {
    "RNN": scratch_cells.RNNCell,
    "RNN relu": partial(scratch_cells.RNNCell, nonlinearity="relu"),
    "GRU": scratch_cells.GRUCell,
    "LSTM": scratch_cells.LSTMCell,
    "LSTM projected": projected_lstm_cell,
}
"""The cells that have kernels."""

each_kind = pytest.mark.parametrize("kind", CELLS)

each_unprojected_kind = pytest.mark.parametrize(
    "kind", [kind for kind in CELLS if kind != "LSTM projected"]
)
"""For what is not built for an LSTM with a projection."""


def draw(cell: Cell, time: int, batch: int, seed: int = 0) -> tuple[Tensor, Any]:
    """A random input (time, batch, input_size) and initial state that require gradients."""
    generator = torch.Generator().manual_seed(seed)
    weight = cell.hidden_to_hidden.weight
    shapes = [(time, batch, cell.input_size), *((batch, size) for size in cell.state_sizes)]
    drawn = [torch.randn(shape, generator=generator).to(weight) for shape in shapes]
    x, *state = (leaf.requires_grad_() for leaf in drawn)
    return x, whole(state)


def draw_packed(cell: Cell, lengths: list[int], seed: int = 0) -> tuple[Tensor, Any, Sizes]:
    """A random input (ΣT, input_size) of sequences of these lengths, state and batch sizes."""
    batch_sizes = tuple(sum(length > t for length in lengths) for t in range(max(lengths)))
    x, _ = draw(cell, 1, sum(lengths), seed)
    _, state = draw(cell, 1, len(lengths), seed + 1)
    return x.detach()[0].requires_grad_(), state, batch_sizes


def unroll_with(
    backend: str,
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """What ``unroll`` returns, computed by the backend that is selected for ``backend``."""
    return select_backend(cell, input, state, batch_sizes, backend).run(reverse)


def layers_with(backend: str) -> SimpleNamespace:
    """The package's RNN, GRU and LSTM with another default backend."""
    return SimpleNamespace(
        **{kind: partial(getattr(scratch_cells, kind), backend=backend) for kind in KINDS}
    )


def backend_of(output: Tensor) -> str:
    """The backend that computed an output that requires a gradient."""
    node = output.grad_fn
    functions = BPTTFunction, CallFunction
    if type(node).__name__ not in [f"{function.__name__}Backward" for function in functions]:
        return "plain"
    return {kernel: backend for (backend, _), kernel in KERNELS.items()}[node.kernel_class]


needs_c = pytest.mark.skipif(
    load_library(torch.float32)[0] is None, reason="the C backend is not available"
)

each_backend = pytest.mark.parametrize("backend", ["bptt", pytest.param("c", marks=needs_c)])
"""Each backend that runs on a CPU, except for the reference loop."""
