"""Backpropagation through time by hand equals torch.nn and the plain loop, and knows its limits."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import scratch_cells
from minimal_gated_cell import MinimalGatedCell
from oracles import assert_same
from scratch_cells import bptt
from scratch_cells.bptt import Tape, ThroughTime, derivation_of, unroll_by_hand
from scratch_cells.cell import Cell
from scratch_cells.derivations import tanh
from scratch_cells.unroll import unroll
from strategies import Configuration, configurations

CELLS = {
    "RNN": lambda *sizes, **o: scratch_cells.RNNCell(*sizes, **o),
    "RNN relu": lambda *sizes, **o: scratch_cells.RNNCell(*sizes, nonlinearity="relu", **o),
    "GRU": lambda *sizes, **o: scratch_cells.GRUCell(*sizes, **o),
    "LSTM": lambda *sizes, **o: scratch_cells.LSTMCell(*sizes, **o),
}
EACH = pytest.mark.parametrize("kind", CELLS)


def draw(cell: Cell, time: int, batch: int) -> tuple[Tensor, Any]:
    dtype = cell.hidden_to_hidden.weight.dtype
    x = torch.randn(time, batch, cell.input_size, dtype=dtype).requires_grad_()
    state = tuple(
        torch.randn(batch, size, dtype=dtype).requires_grad_() for size in cell.state_sizes
    )
    return x, state if len(state) > 1 else state[0]


def parts(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def is_by_hand(output: Tensor) -> bool:
    return type(output.grad_fn).__name__ == f"{ThroughTime.__name__}Backward"


@pytest.fixture
def one_step_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bptt, "BLOCK", 1)


@pytest.mark.usefixtures("one_step_blocks")
@given(configurations(layouts=("batched", "unbatched")))
def test_blocks_of_one_step(configuration: Configuration) -> None:
    """The property tests of test_stack run in one block; here every step is a block."""
    ours, theirs = configuration.build(scratch_cells), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)


@pytest.mark.parametrize("small_weight", [0, bptt.SMALL_WEIGHT])
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
@pytest.mark.parametrize("reverse", [False, True])
@EACH
def test_equals_the_plain_loop(
    kind: str, reverse: bool, steps: int, small_weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs, final state and all gradients, whatever the length of a block."""
    monkeypatch.setattr(bptt, "SMALL_WEIGHT", small_weight)
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    rows = cell.hidden_to_hidden.weight.size(0)
    monkeypatch.setattr(bptt, "BLOCK", steps * 2 * rows)
    leaves = [x, *parts(state), *cell.parameters()]
    seen = []
    for way in (unroll_by_hand, unroll):
        output, final = way(cell, x, state, None, reverse)
        assert is_by_hand(output) == (way is unroll_by_hand)
        weights = [torch.arange(1.0, 1 + part.numel()) for part in (output, *parts(final))]
        returned = (output, *parts(final))
        loss = sum(
            (part.flatten() * weight).sum() for part, weight in zip(returned, weights, strict=True)
        )
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        again = torch.autograd.grad(loss, leaves)  # the buffers are still as they were
        assert all(map(torch.equal, gradients, again))
        with torch.no_grad():
            without = way(cell, x, state, None, reverse)
        seen.append((*returned, *gradients, without[0], *parts(without[1])))
    for got, expected in zip(*seen, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12, check_stride=True)


@EACH
def test_finite_differences(kind: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](2, 3, dtype=torch.float64)
    x, state = draw(cell, 4, 2)
    names, weights = zip(*cell.named_parameters(), strict=True)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            hx = state if len(state) > 1 else state[0]
            output, final = unroll_by_hand(self.cell, x, hx)
            assert is_by_hand(output)
            return output, *parts(final)

    whole = Whole()

    def call(x: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        drawn = dict(zip((f"cell.{name}" for name in names), leaves, strict=False))
        given = leaves[len(names) :]
        result: tuple[Tensor, ...] = torch.func.functional_call(whole, drawn, (x, *given))
        return result

    assert gradcheck(call, (x, *weights, *parts(state)))
    assert gradgradcheck(call, (x, *weights, *parts(state)), fast_mode=True)


@EACH
@given(needed=st.lists(st.booleans(), min_size=7, max_size=7), seed=st.integers(0, 99))
def test_only_what_is_asked_for(kind: str, needed: list[bool], seed: int) -> None:
    """Any leaf may be frozen, any result unused; the other gradients stay what they are."""
    torch.manual_seed(seed)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    leaves = [x, *cell.parameters(), *parts(state)]
    for leaf, need in zip(leaves, needed, strict=False):
        leaf.requires_grad_(need)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    seen = []
    for way in (unroll_by_hand, unroll):
        output, final = way(cell, x, state)
        loss = output[seed % 5].sum() if seed % 2 else parts(final)[-1].sum()
        seen.append(torch.autograd.grad(loss, wanted, allow_unused=True) if wanted else ())
    for got, expected in zip(*seen, strict=True):
        got = torch.zeros_like(expected) if got is None and expected is not None else got
        expected = torch.zeros_like(got) if expected is None and got is not None else expected
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@EACH
def test_many_gradients_at_once(kind: str) -> None:
    """is_grads_batched, and a jacobian that is vectorized, run vmap over the backward pass."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    output, _ = unroll_by_hand(cell, x, state)
    directions = torch.randn(6, *output.shape, dtype=torch.float64)
    leaves = [x, *cell.parameters()]
    together = torch.autograd.grad(
        output, leaves, directions, is_grads_batched=True, retain_graph=True
    )
    for index, direction in enumerate(directions):
        alone = torch.autograd.grad(output, leaves, direction, retain_graph=True)
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many[index], one, rtol=1e-11, atol=1e-12)


def test_a_tied_bias_gets_its_gradient_once_and_twice() -> None:
    torch.manual_seed(0)
    cell = scratch_cells.GRUCell(3, 4, dtype=torch.float64)
    cell.bias_hh = cell.bias_ih
    x, state = draw(cell, 5, 2)
    seen = []
    for way in (unroll_by_hand, unroll):
        output, _ = way(cell, x, state)
        (first,) = torch.autograd.grad(output.pow(2).sum(), cell.bias_ih, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), cell.bias_ih)
        seen.append((first, second))
    torch.testing.assert_close(*seen, rtol=1e-11, atol=1e-12)


@EACH
def test_outputs_may_be_changed_in_place(kind: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](4, 4)
    x, state = draw(cell, 5, 2)
    output, _ = unroll_by_hand(cell, x, state)
    expected = torch.autograd.grad(output.sum(), x)[0] + 1
    output, final = unroll_by_hand(cell, x, state)
    output += x
    parts(final)[0].mul_(2)
    torch.testing.assert_close(torch.autograd.grad(output.sum(), x)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh(dtype: torch.dtype) -> None:
    """Within two units in the last place of torch's, small and large; NaN stays NaN."""
    tiny, large = torch.logspace(-30, 0, 10_001, dtype=dtype), torch.linspace(1, 30, 10_001)
    positive = torch.cat([tiny, large.to(dtype), torch.tensor([0, torch.inf], dtype=dtype)])
    a = torch.stack([positive, -positive], dim=1)[:, :1]  # not contiguous
    got = tanh(a, out=torch.empty_like(a))
    torch.testing.assert_close(got, torch.tanh(a), rtol=2 * torch.finfo(dtype).eps, atol=0)
    assert torch.equal(tanh(-a, out=torch.empty_like(a)), -got)
    assert tanh(torch.full_like(a, torch.nan), out=torch.empty_like(a)).isnan().all()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
@EACH
def test_small_states_are_as_exact_as_large_ones(kind: str, scale: float) -> None:
    """In float32, relative to the largest of them."""
    torch.manual_seed(0)
    cell = CELLS[kind](8, 32, bias=False)
    x = torch.randn(28, 5, 8) * scale
    h = torch.zeros(5, 32)
    state = (h, h) if kind == "LSTM" else h
    got, expected = (way(cell, x, state)[0] for way in (unroll_by_hand, unroll))
    assert (got - expected).abs().max() <= 1e-6 * expected.abs().max()


@EACH
def test_no_memory_for_what_nothing_reads(kind: str) -> None:
    """An RNN's gates are its states; without a gradient one step of c stands for all."""
    derivation = derivation_of(CELLS[kind](3, 4))
    h = torch.zeros(2, 4)
    for keep, rows in ((True, 11), (False, 1)):
        tape = Tape.blank(derivation, 10, h, keep, reverse=False)
        shared = tape.gates.untyped_storage().data_ptr() == tape.h.untyped_storage().data_ptr()
        assert shared == kind.startswith("RNN")
        if derivation.carries_cell_state:
            assert tape.c.untyped_storage().nbytes() == rows * h.nbytes
            assert tape.c.shape == (11, 2, 4)
        if derivation.keeps:
            assert tape.kept.untyped_storage().nbytes() == max(1, rows - 1) * h.nbytes
        else:
            assert len(tape.kept) == 0


# --- what it leaves to the plain loop -----------------------------------------------------------


def test_the_default_is_by_hand_and_plain_can_be_named() -> None:
    x = torch.randn(5, 2, 3)
    for kind in ("RNN", "GRU", "LSTM"):
        layer = getattr(scratch_cells, kind)
        for backend, by_hand in (("auto", True), ("plain", False)):
            output, _ = layer(3, 4, backend=backend)(x)
            assert is_by_hand(output) is by_hand
        with pytest.raises(
            ValueError, match="backend is 'fast': expected one of auto, plain, fused"
        ):
            layer(3, 4, backend="fast")


def test_only_the_cells_of_the_package_are_derived() -> None:
    class Changed(scratch_cells.GRUCell):
        def update(self, gates: Any, h: Tensor) -> Tensor:
            return super().update(gates, h) / 2

    assert derivation_of(scratch_cells.GRUCell(3, 4)) is not None
    for cell in (Changed(3, 4), MinimalGatedCell(3, 4)):
        assert derivation_of(cell) is None
    assert derivation_of(scratch_cells.RNNCell(3, 4, nonlinearity="sigmoid")) is None


def falls_back(cell: Cell, x: Tensor | None = None) -> bool:
    x = torch.randn(5, 2, 3) if x is None else x
    output, _ = unroll_by_hand(cell, x, cell.zero_state(x[0]))
    return not is_by_hand(output)


@EACH
def test_what_hangs_on_a_cell_is_run(kind: str) -> None:
    assert not falls_back(CELLS[kind](3, 4))

    cell = CELLS[kind](3, 4)
    seen = []
    cell.hidden_to_hidden.register_forward_hook(lambda *_: seen.append(1))
    assert falls_back(cell)
    assert len(seen) == 5

    cell = CELLS[kind](3, 4)
    nn.utils.parametrizations.weight_norm(cell.hidden_to_hidden)
    assert falls_back(cell)

    cell = CELLS[kind](3, 4)
    cell.update = cell.update
    assert falls_back(cell)


@EACH
def test_other_dtypes_and_autocast(kind: str) -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.complex64):
        if kind != "RNN relu" or not dtype.is_complex:
            x = torch.randn(5, 2, 3, dtype=dtype)
            assert falls_back(CELLS[kind](3, 4, dtype=dtype), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert falls_back(CELLS[kind](3, 4))


@EACH
def test_forward_mode_without_functorch(kind: str) -> None:
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    direction = torch.randn_like(x)
    with forward_ad.dual_level():
        output, _ = unroll_by_hand(cell, forward_ad.make_dual(x, direction), state)
        tangent = forward_ad.unpack_dual(output).tangent
    (gradient,) = torch.autograd.grad(unroll(cell, x, state)[0].sum(), x)
    torch.testing.assert_close(tangent.sum(), (gradient * direction).sum())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_tracing_sees_every_step() -> None:
    layer = scratch_cells.LSTM(3, 4)
    traced = torch.jit.trace(layer, torch.randn(5, 2, 3))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(traced(x)[0], layer(x)[0])


@EACH
def test_the_meta_device(kind: str) -> None:
    cell = CELLS[kind](3, 4, device="meta")
    x = torch.empty(5, 2, 3, device="meta", requires_grad=True)
    output, _ = unroll_by_hand(cell, x, cell.zero_state(x[0]))
    output.sum().backward()
    assert output.shape == (5, 2, 4)
    assert cell.hidden_to_hidden.weight.grad.shape == cell.hidden_to_hidden.weight.shape


@EACH
def test_an_empty_batch(kind: str) -> None:
    cell = CELLS[kind](3, 4)
    x = torch.randn(5, 0, 3, requires_grad=True)
    output, _ = unroll_by_hand(cell, x, cell.zero_state(x[0]))
    output.sum().backward()
    assert output.shape == (5, 0, 4)
    assert cell.hidden_to_hidden.weight.grad.abs().max() == 0
