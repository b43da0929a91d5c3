"""The reference loop, dense and packed, forward and reverse, against one call per time step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from scratch_cells import GRUCell, LSTMCell
from scratch_cells.cell import Cell
from scratch_cells.unroll import unroll

CELLS = pytest.mark.parametrize("cell_class", [GRUCell, LSTMCell])


def parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def run_sample(
    cell: Cell, x: Tensor, state: tuple[Tensor, ...], reverse: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Call the cell once per time step of one sample: outputs in input order, and final state."""
    outputs: dict[int, Tensor] = {}
    for t in sorted(range(len(x)), reverse=reverse):
        state = parts(cell(x[t], state if len(state) > 1 else state[0]))
        outputs[t] = state[0]
    return torch.stack([outputs[t] for t in range(len(x))]), state


@CELLS
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    reverse=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_each_packed_sequence_gives_the_same_as_alone(
    cell_class: type[Cell], lengths: list[int], reverse: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    lengths = sorted(lengths, reverse=True)
    cell = cell_class(2, 3, dtype=torch.float64)
    sequences = [torch.randn(length, 2, dtype=torch.float64) for length in lengths]
    state = tuple(
        torch.randn(len(lengths), 3, dtype=torch.float64) for _ in range(len(cell.state_sizes))
    )
    packed = pack_sequence(sequences)
    output, final = unroll(
        cell,
        packed.data,
        state if len(state) > 1 else state[0],
        tuple(packed.batch_sizes.tolist()),
        reverse,
    )
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(packed._replace(data=output))
    for row, x in enumerate(sequences):
        alone, final_alone = run_sample(cell, x, tuple(part[row] for part in state), reverse)
        torch.testing.assert_close(padded[: len(x), row], alone, rtol=1e-12, atol=1e-12)
        for got, expected in zip(parts(final), final_alone, strict=True):
            torch.testing.assert_close(got[row], expected, rtol=1e-12, atol=1e-12)


@CELLS
def test_the_input_is_projected_once_per_sequence(cell_class: type[Cell]) -> None:
    cell = cell_class(2, 3)
    shapes = []
    cell.input_to_hidden.register_forward_hook(lambda _, args, out: shapes.append(args[0].shape))
    unroll(cell, torch.randn(7, 4, 2), cell.zero_state(torch.zeros(4, 2)))
    assert shapes == [(4, 7, 2)]  # a hook receives the batch first
