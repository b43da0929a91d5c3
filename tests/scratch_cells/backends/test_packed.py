"""Packed sequences in the bptt and the c backend: sequences that have ended are not computed."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from scratch_cells.backends import KERNELS, c_backend, sequence_buffers
from scratch_cells.backends.eligibility import kind_of
from scratch_cells.backends.packed_buffers import PackedBuffers
from scratch_cells.backends.packed_rows import packed_rows
from scratch_cells.cell import parts
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw_packed,
    each_backend,
    each_kind,
    needs_c,
    unroll_with,
)

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=30).map(lambda n: sorted(n)[::-1])
"""The lengths of sequences, the longest first."""


@pytest.fixture
def always_parallel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(c_backend, "MIN_PARALLEL_MULTIPLY_ADDS", 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def results(backend: str, kind: str, lengths: list[int], size: int, reverse: bool) -> list[Tensor]:
    """Outputs, final state, every gradient, and outputs and final state without a gradient."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, size, dtype=torch.float64)
    x, state, batch_sizes = draw_packed(cell, lengths)
    output, final = unroll_with(backend, cell, x, state, batch_sizes, reverse)
    assert backend_of(output) == backend
    returned = (output, *parts(final))
    loss = sum(
        (part * torch.linspace(-1, 1, part.numel()).view(part.shape)).sum() for part in returned
    )
    gradients = torch.autograd.grad(loss, [x, *parts(state), *cell.parameters()])
    with torch.no_grad():
        output, final = unroll_with(backend, cell, x, state, batch_sizes, reverse)
    return [*returned, *gradients, output, *parts(final)]


@each_kind
@each_backend
@pytest.mark.usefixtures("always_parallel")
@given(
    lengths=LENGTHS,
    size=st.one_of(st.integers(1, 20), st.sampled_from([64, 65])),
    reverse=st.booleans(),
    threads=st.integers(1, 4),
    block_rows=st.sampled_from([1, 10, 10**6]),
)
@settings(max_examples=settings().max_examples // 2)
def test_packed_sequences_equal_the_reference_loop(
    backend: str,
    kind: str,
    lengths: list[int],
    size: int,
    reverse: bool,
    threads: int,
    block_rows: int,
) -> None:
    """For equal lengths, one sequence, steps of one row, and blocks of one step or of all."""
    torch.set_num_threads(threads)
    gates = KERNELS[backend, kind_of(CELLS[kind](1, 1))].layout.gate_count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_buffers, "BLOCK_ELEMENTS", block_rows * gates * size)
        patch.setattr(sequence_buffers, "BLOCK_ROWS", 1)
        got = results(backend, kind, lengths, size, reverse)
    expected = results("plain", kind, lengths, size, reverse)
    for a, b in zip(got, expected, strict=True):
        bound = 1e-12 * max(1.0, b.abs().max().item())
        torch.testing.assert_close(a, b, rtol=0, atol=bound)


@needs_c
@each_kind
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.usefixtures("always_parallel")
def test_results_are_bit_exact_for_any_number_of_threads(kind: str, reverse: bool) -> None:
    seen = []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        seen.append(results("c", kind, [9, 9, 8, 7, *[5] * 8, *[2] * 5, 1], 40, reverse))
    for other in seen[1:]:
        assert all(map(torch.equal, seen[0], other))


@needs_c
@each_kind
@pytest.mark.parametrize("reverse", [False, True])
def test_sequences_of_equal_length_are_bit_exact_with_a_batch(kind: str, reverse: bool) -> None:
    cell = CELLS[kind](3, 20)
    x, state, batch_sizes = draw_packed(cell, [6] * 7)
    seen = []
    for input, sizes in ((x, batch_sizes), (x.unflatten(0, (6, 7)), None)):
        output, final = unroll_with("c", cell, input, state, sizes, reverse)
        loss = output.pow(2).sum() + parts(final)[0].sum()
        gradients = torch.autograd.grad(loss, [x, *parts(state), *cell.parameters()])
        seen.append([output.flatten(0, -2), *parts(final), *gradients])
    assert all(map(torch.equal, *seen))


@each_kind
@each_backend
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_equal_finite_differences(backend: str, kind: str, reverse: bool) -> None:
    """First derivatives by the kernel, second ones by the reference loop; of the state, too."""
    torch.manual_seed(0)
    cell = CELLS[kind](2, 3, dtype=torch.float64)
    x, state, batch_sizes = draw_packed(cell, [3, 3, 1])

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            hx = state if len(state) > 1 else state[0]
            output, final = unroll_with(backend, self.cell, x, hx, batch_sizes, reverse)
            assert backend_of(output) == backend
            return output, *parts(final)

    names, weights = zip(*cell.named_parameters(), strict=True)
    whole = Whole()

    def call(x: Tensor, *leaves: Tensor) -> Any:
        drawn = dict(zip((f"cell.{name}" for name in names), leaves, strict=False))
        return torch.func.functional_call(whole, drawn, (x, *leaves[len(names) :]))

    assert gradcheck(call, (x, *weights, *parts(state)), fast_mode=True)
    assert gradgradcheck(call, (x, *weights, *parts(state)), fast_mode=True)


@each_kind
@each_backend
@pytest.mark.parametrize("reverse", [False, True])
def test_spoilt_buffers_and_replaced_gradients_do_what_the_loop_does(
    backend: str, kind: str, reverse: bool
) -> None:
    """The hooks return gates and states in another dtype, and a gradient of other strides."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state, batch_sizes = draw_packed(cell, [5, 3, 3, 1])
    given = {tensor.data_ptr() for tensor in (x, *cell.parameters(), *parts(state))}
    gradients = []
    for name, unpack in (
        (backend, lambda tensor: tensor if tensor.data_ptr() in given else tensor.float()),
        (backend, lambda tensor: tensor.t().contiguous().t()),
        ("plain", lambda tensor: tensor),
    ):
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
            output, _ = unroll_with(name, cell, x, state, batch_sizes, reverse)
        output.register_hook(lambda d: (2 * d).t().contiguous().t())
        gradients.append(torch.autograd.grad(output.pow(2).sum(), [x, *cell.parameters()]))
    for got in gradients[:2]:
        torch.testing.assert_close(got, gradients[2], rtol=1e-12, atol=1e-12)


@each_kind
@pytest.mark.parametrize("needs_backward", [False, True])
def test_no_buffer_has_rows_for_padding(kind: str, needs_backward: bool) -> None:
    cell = CELLS[kind](3, 4)
    kernel_class = KERNELS["bptt", kind_of(cell)]
    x, state, batch_sizes = draw_packed(cell, [4, 2, 1, 1, 1])
    buffers = PackedBuffers.allocate_packed(
        kernel_class, x, parts(state), needs_backward, False, batch_sizes
    )
    assert len(buffers.h) == 5 + 9
    assert len(buffers.gates) == 9
    if kernel_class.layout.has_cell_state:
        assert len(buffers.c) == (5 + 9 if needs_backward else 5)


@given(LENGTHS, st.integers(1, 40))
def test_spans_cover_every_step_once(lengths: list[int], limit: int) -> None:
    rows = packed_rows(tuple(sum(n > t for n in lengths) for t in range(lengths[0])))
    spans = rows.spans(limit)
    assert [t for span in spans for t in range(*span)] == list(range(lengths[0]))
    assert all(rows.part(*span).total <= limit or span[1] == span[0] + 1 for span in spans)
    assert rows.in_largest_span(limit) == max(rows.part(*span).total for span in spans)


@needs_c
@each_kind
def test_nan_stays_in_its_sequence(kind: str) -> None:
    """A sequence that has ended cannot reach the rows that follow."""
    cell = CELLS[kind](3, 20)
    x, state, batch_sizes = draw_packed(cell, [4, 3, 2, 2])
    with torch.no_grad():
        expected, expected_final = unroll_with("c", cell, x, state, batch_sizes)
        x[7] = torch.nan  # the last sequence, in its last step
        got, final = unroll_with("c", cell, x, state, batch_sizes)
    others = [row for row in range(len(x)) if row != 7]
    assert torch.equal(got[others], expected[others])
    assert got[7].isnan().all()
    for part, expected_part in zip(parts(final), parts(expected_final), strict=True):
        assert torch.equal(part[:3], expected_part[:3])
