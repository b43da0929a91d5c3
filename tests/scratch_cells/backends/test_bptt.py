"""Backpropagation through time by hand equals torch.nn and the plain loop, and knows its limits.

So does its twin in C; what is of its own is in ``test_compiled``.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils.flop_counter import FlopCounterMode

import scratch_cells
from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells.backends import bptt
from scratch_cells.backends import torch_backend as derivations
from scratch_cells.backends.bptt import Tape, derivation_of
from scratch_cells.backends.c_backend import walks
from scratch_cells.backends.torch_backend import tanh
from scratch_cells.cell import Cell
from scratch_cells.unroll import unroll
from tests.helpers.backends import EACH_WAY, LAYERS, WAYS, way_of
from tests.helpers.oracles import assert_same
from tests.helpers.strategies import Configuration, configurations

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


@pytest.fixture
def one_step_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bptt, "BLOCK", 1)


DRAWN = configurations(layouts=("batched", "unbatched"))


@EACH_WAY
@given(DRAWN)
def test_one_block(way: str, configuration: Configuration) -> None:
    ours, theirs = configuration.build(LAYERS[way]), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)


@EACH_WAY
@given(configurations(dtype=torch.float32, layouts=("batched", "unbatched")))
def test_one_block_in_float32(way: str, configuration: Configuration) -> None:
    ours, theirs = configuration.build(LAYERS[way]), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float32)


@EACH_WAY
@pytest.mark.usefixtures("one_step_blocks")
@given(DRAWN)
def test_blocks_of_one_step(way: str, configuration: Configuration) -> None:
    ours, theirs = configuration.build(LAYERS[way]), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)


@pytest.mark.parametrize("small_weight", [0, derivations.SMALL_WEIGHT])
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
@pytest.mark.parametrize("reverse", [False, True])
@EACH
@EACH_WAY
def test_equals_the_plain_loop(
    way: str,
    kind: str,
    reverse: bool,
    steps: int,
    small_weight: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outputs, final state and all gradients, whatever the length of a block."""
    monkeypatch.setattr(derivations, "SMALL_WEIGHT", small_weight)
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    rows = cell.hidden_to_hidden.weight.size(0)
    monkeypatch.setattr(bptt, "BLOCK", steps * 2 * rows)
    leaves = [x, *parts(state), *cell.parameters()]
    seen = []
    for name in (way, "plain"):
        output, final = WAYS[name](cell, x, state, None, reverse)
        assert way_of(output) == name
        weights = [torch.arange(1.0, 1 + part.numel()) for part in (output, *parts(final))]
        returned = (output, *parts(final))
        loss = sum(
            (part.flatten() * weight).sum() for part, weight in zip(returned, weights, strict=True)
        )
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        again = torch.autograd.grad(loss, leaves)  # the buffers are still as they were
        assert all(map(torch.equal, gradients, again))
        with torch.no_grad():
            without = WAYS[name](cell, x, state, None, reverse)
        seen.append((*returned, *gradients, without[0], *parts(without[1])))
    for got, expected in zip(*seen, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12, check_stride=True)


@EACH
@EACH_WAY
def test_finite_differences(way: str, kind: str) -> None:
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
            output, final = WAYS[way](self.cell, x, hx)
            assert way_of(output) == way
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
@EACH_WAY
@given(needed=st.lists(st.booleans(), min_size=7, max_size=7), seed=st.integers(0, 99))
def test_only_what_is_asked_for(way: str, kind: str, needed: list[bool], seed: int) -> None:
    """Any leaf may be frozen, any result unused; the other gradients stay what they are."""
    torch.manual_seed(seed)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    leaves = [x, *cell.parameters(), *parts(state)]
    for leaf, need in zip(leaves, needed, strict=False):
        leaf.requires_grad_(need)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    seen = []
    for name in (way, "plain"):
        output, final = WAYS[name](cell, x, state)
        loss = output[seed % 5].sum() if seed % 2 else parts(final)[-1].sum()
        seen.append(torch.autograd.grad(loss, wanted, allow_unused=True) if wanted else ())
    for got, expected in zip(*seen, strict=True):
        got = torch.zeros_like(expected) if got is None and expected is not None else got
        expected = torch.zeros_like(got) if expected is None and got is not None else expected
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@EACH
@EACH_WAY
def test_many_gradients_at_once(way: str, kind: str) -> None:
    """is_grads_batched, and a jacobian that is vectorized, run vmap over the backward pass."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    output, _ = WAYS[way](cell, x, state)
    directions = torch.randn(6, *output.shape, dtype=torch.float64)
    leaves = [x, *cell.parameters()]
    together = torch.autograd.grad(
        output, leaves, directions, is_grads_batched=True, retain_graph=True
    )
    for index, direction in enumerate(directions):
        alone = torch.autograd.grad(output, leaves, direction, retain_graph=True)
        for many, one in zip(together, alone, strict=True):
            torch.testing.assert_close(many[index], one, rtol=1e-11, atol=1e-12)


@EACH_WAY
def test_a_tied_bias_gets_its_gradient_once_and_twice(way: str) -> None:
    torch.manual_seed(0)
    cell = scratch_cells.GRUCell(3, 4, dtype=torch.float64)
    cell.bias_hh = cell.bias_ih
    x, state = draw(cell, 5, 2)
    seen = []
    for name in (way, "plain"):
        output, _ = WAYS[name](cell, x, state)
        (first,) = torch.autograd.grad(output.pow(2).sum(), cell.bias_ih, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), cell.bias_ih)
        seen.append((first, second))
    torch.testing.assert_close(*seen, rtol=1e-11, atol=1e-12)


@EACH
@EACH_WAY
def test_outputs_may_be_changed_in_place(way: str, kind: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](4, 4)
    x, state = draw(cell, 5, 2)
    output, _ = WAYS[way](cell, x, state)
    expected = torch.autograd.grad(output.sum(), x)[0] + 1
    output, final = WAYS[way](cell, x, state)
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
@EACH_WAY
def test_small_states_are_as_exact_as_large_ones(way: str, kind: str, scale: float) -> None:
    """In float32, relative to the largest of them."""
    torch.manual_seed(0)
    cell = CELLS[kind](8, 32, bias=False)
    x = torch.randn(28, 5, 8) * scale
    h = torch.zeros(5, 32)
    state = (h, h) if kind == "LSTM" else h
    got, expected = (WAYS[name](cell, x, state)[0] for name in (way, "plain"))
    assert (got - expected).abs().max() <= 1e-6 * expected.abs().max()


@EACH
def test_no_memory_for_what_nothing_reads(kind: str) -> None:
    """An RNN's gates are its states; without a gradient one step of c stands for all."""
    derivation = derivation_of(CELLS[kind](3, 4))
    x, h = torch.zeros(10, 2, 3), torch.zeros(2, 4)
    for keep, rows in ((True, 11), (False, 1)):
        tape = Tape.blank(derivation, x, h, keep, reverse=False)
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


@pytest.mark.parametrize("layer", LAYERS["by hand"].__dict__)
def test_every_way_can_be_named(layer: str) -> None:
    x = torch.randn(5, 2, 3)
    make = getattr(scratch_cells, layer)
    backends = {"by_hand": "by hand", "plain": "plain"}
    if walks(torch.float32):
        backends["auto"] = "compiled"
    for backend, way in backends.items():
        output, _ = make(3, 4, backend=backend)(x)
        assert way_of(output) == way
    with pytest.raises(
        ValueError, match="backend is 'fast': expected one of auto, by_hand, plain, fused"
    ):
        make(3, 4, backend="fast")


def test_the_walks_in_c_are_taken_where_they_can_be() -> None:
    """Where they cannot, their tests are left out: not here, then."""
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text().split() if cpu.exists() else []
    if {"avx2", "fma"} <= set(flags) and shutil.which("gcc"):
        assert walks(torch.float32)
        assert walks(torch.float64)


def test_only_the_cells_of_the_package_are_derived() -> None:
    class Changed(scratch_cells.GRUCell):
        def update(self, gates: Any, h: Tensor) -> Tensor:
            return super().update(gates, h) / 2

    assert derivation_of(scratch_cells.GRUCell(3, 4)) is not None
    for cell in (Changed(3, 4), MinimalGatedCell(3, 4)):
        assert derivation_of(cell) is None
    assert derivation_of(scratch_cells.RNNCell(3, 4, nonlinearity="sigmoid")) is None


def falls_back(way: str, cell: Cell, x: Tensor | None = None) -> bool:
    x = torch.randn(5, 2, 3) if x is None else x
    output, _ = WAYS[way](cell, x, cell.zero_state(x[0]))
    return way_of(output) == "plain"


@EACH
@EACH_WAY
def test_what_hangs_on_a_cell_is_run(way: str, kind: str) -> None:
    assert not falls_back(way, CELLS[kind](3, 4))

    cell = CELLS[kind](3, 4)
    seen = []
    cell.hidden_to_hidden.register_forward_hook(lambda *_: seen.append(1))
    assert falls_back(way, cell)
    assert len(seen) == 5

    cell = CELLS[kind](3, 4)
    nn.utils.parametrizations.weight_norm(cell.hidden_to_hidden)
    assert falls_back(way, cell)

    cell = CELLS[kind](3, 4)
    cell.update = cell.update
    assert falls_back(way, cell)


@EACH
@EACH_WAY
def test_other_dtypes_and_autocast(way: str, kind: str) -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.complex64):
        if kind != "RNN relu" or not dtype.is_complex:
            x = torch.randn(5, 2, 3, dtype=dtype)
            assert falls_back(way, CELLS[kind](3, 4, dtype=dtype), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert falls_back(way, CELLS[kind](3, 4))


@EACH
@EACH_WAY
def test_forward_mode_without_functorch(way: str, kind: str) -> None:
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state = draw(cell, 5, 2)
    direction = torch.randn_like(x)
    with forward_ad.dual_level():
        output, _ = WAYS[way](cell, forward_ad.make_dual(x, direction), state)
        tangent = forward_ad.unpack_dual(output).tangent
    (gradient,) = torch.autograd.grad(unroll(cell, x, state)[0].sum(), x)
    torch.testing.assert_close(tangent.sum(), (gradient * direction).sum())


@EACH
@EACH_WAY
def test_operations_can_be_counted(way: str, kind: str) -> None:
    """Nothing is hidden from a mode that wants to see every operation."""
    cell = CELLS[kind](3, 20)
    x, state = draw(cell, 6, 5)
    with FlopCounterMode(display=False) as counter:
        WAYS[way](cell, x, state)
    assert counter.get_total_flops() == 2 * 6 * 5 * cell.hidden_to_hidden.weight.size(0) * 23


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_tracing_sees_every_step() -> None:
    layer = scratch_cells.LSTM(3, 4)
    traced = torch.jit.trace(layer, torch.randn(5, 2, 3))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(traced(x)[0], layer(x)[0])


@EACH
@EACH_WAY
def test_the_meta_device(way: str, kind: str) -> None:
    cell = CELLS[kind](3, 4, device="meta")
    x = torch.empty(5, 2, 3, device="meta", requires_grad=True)
    output, _ = WAYS[way](cell, x, cell.zero_state(x[0]))
    output.sum().backward()
    assert output.shape == (5, 2, 4)
    assert cell.hidden_to_hidden.weight.grad.shape == cell.hidden_to_hidden.weight.shape


@EACH
@EACH_WAY
def test_an_empty_batch(way: str, kind: str) -> None:
    cell = CELLS[kind](3, 4)
    x = torch.randn(5, 0, 3, requires_grad=True)
    output, _ = WAYS[way](cell, x, cell.zero_state(x[0]))
    output.sum().backward()
    assert output.shape == (5, 0, 4)
    assert cell.hidden_to_hidden.weight.grad.abs().max() == 0
