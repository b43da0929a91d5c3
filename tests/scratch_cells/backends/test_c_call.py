"""Short sequences as one call of C: weights in place, states of zeros, and any number of threads.

That such a call equals the reference loop for every size is in ``test_c_backend``, which draws both
short and longer sequences.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

import scratch_cells
from scratch_cells.backends import c_backend, c_call
from scratch_cells.backends.c_compiler import load_library
from scratch_cells.cell import parts
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw,
    each_unprojected_kind,
    needs_c,
    unroll_with,
)

pytestmark = needs_c

each_layer = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
each_way = pytest.mark.parametrize("in_place", [True, False], ids=["in place", "panels"])


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def results(
    kind: str, time: int, batch: int, input_size: int, size: int, dtype: torch.dtype
) -> list[Tensor]:
    """Outputs, final state and every gradient of one call."""
    torch.manual_seed(0)
    cell = CELLS[kind](input_size, size, dtype=dtype)
    x, state = draw(cell, time, batch)
    output, final = unroll_with("c", cell, x, state, reverse=size % 2 == 1)
    assert type(output.grad_fn).__name__ == "CallFunctionBackward"
    returned = [output, *parts(final)]
    loss = sum((part * torch.linspace(-1, 1, part.size(-1))).sum() for part in returned)
    return [*returned, *torch.autograd.grad(loss, [x, *parts(state), *cell.parameters()])]


@each_unprojected_kind
@given(
    time=st.integers(1, 5),
    batch=st.integers(1, 9),
    input_size=st.integers(1, 70),
    size=st.one_of(st.integers(1, 70), st.sampled_from([127, 128, 129])),
)
def test_weights_in_place_give_what_panels_give(
    kind: str, time: int, batch: int, input_size: int, size: int
) -> None:
    seen = []
    for rows in (0, time * batch):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(c_call, "MAX_IN_PLACE_ROWS", rows)
            seen.append(results(kind, time, batch, input_size, size, torch.float64))
    for got, expected in zip(*seen, strict=True):
        bound = 1e-12 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(got, expected, rtol=0, atol=bound)


@each_unprojected_kind
@each_way
@pytest.mark.parametrize("share_units", [False, True])
@pytest.mark.usefixtures("threads")
def test_results_are_bit_exact_for_any_number_of_threads(
    kind: str, in_place: bool, share_units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_backend, "MIN_PARALLEL_MULTIPLY_ADDS", 0)
    monkeypatch.setattr(c_backend, "shares_units", lambda *sizes: share_units)
    monkeypatch.setattr(c_call, "MAX_IN_PLACE_ROWS", 100 * in_place)
    seen = []
    for count in (1, 2, 3, 5, 2):
        torch.set_num_threads(count)
        seen.append(results(kind, 4, 7, 30, 40, torch.float32))
    for other in seen[1:]:
        assert all(map(torch.equal, seen[0], other))


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_rows_than_a_panel_of_the_weight_gradients(kind: str, dtype: torch.dtype) -> None:
    """The first panel writes the gradients, and each of the others adds to them."""
    torch.manual_seed(0)
    ours = getattr(scratch_cells, kind)(3, 4, backend="c", dtype=dtype)
    theirs = getattr(nn, kind)(3, 4, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 600, 3, dtype=dtype)
    tolerance = 1e-12 if dtype is torch.float64 else 1e-5
    got, expected = (
        torch.autograd.grad(layer(x)[0].square().mean(), list(layer.parameters()))
        for layer in (ours, theirs)
    )
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


CHANGES: dict[str, Callable[[Tensor], object]] = {
    "data": lambda w: w.data.add_(1),
    "numpy": lambda w: w.detach().numpy().__iadd__(1),
    "another view": lambda w: w.data.view(-1)[::2].mul_(3),
    "set_": lambda w: torch.no_grad()(w.set_)(torch.full_like(w, 0.1)),
    "exchanged": lambda w: setattr(w, "data", torch.full_like(w, 0.2)),
    "transposed in memory": lambda w: setattr(w, "data", 2 * w.data.t().contiguous().t()),
    "in place": lambda w: torch.no_grad()(w.add_)(1),
}


@each_layer
@each_way
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_weight_is_used_by_the_next_call(
    change: str, in_place: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no version counter shows the change."""
    monkeypatch.setattr(c_call, "MAX_IN_PLACE_ROWS", 100 * in_place)
    layer = getattr(scratch_cells, kind)(20, 20, backend="c")
    x = torch.randn(2, 3, 20)
    with torch.no_grad():
        before, _ = layer(x)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            CHANGES[change](getattr(layer, name))
        after, _ = layer(x)
        layer.backend = "plain"
        expected, _ = layer(x)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-6)


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_without_a_state_a_layer_begins_with_zeros(kind: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(
        5, 6, num_layers=2, bidirectional=bidirectional, dtype=torch.float64
    )
    x = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    zeros = torch.zeros(4 if bidirectional else 2, 2, 6, dtype=torch.float64)
    seen = []
    for hx in (None, (zeros, zeros) if kind == "LSTM" else zeros):
        output, final = layer(x, hx)
        loss = output.pow(2).sum() + sum(part.sum() for part in parts(final))
        gradients = torch.autograd.grad(loss, [x, *layer.parameters()])
        seen.append([output, *parts(final), *gradients])
    assert all(map(torch.equal, *seen))


@each_layer
def test_gradients_without_a_state_equal_finite_differences(kind: str) -> None:
    """First derivatives by the kernel, second ones by the reference loop."""
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(2, 3, dtype=torch.float64)
    names, weights = zip(*layer.named_parameters(), strict=True)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        drawn = dict(zip(names, leaves, strict=True))
        output, final = torch.func.functional_call(layer, drawn, (x,))
        assert backend_of(output) == "c"
        return output, *parts(final)

    assert gradcheck(call, (x, *weights))
    assert gradgradcheck(call, (x, *weights), fast_mode=True)


@each_layer
def test_a_step_at_a_time_equals_torch_nn(kind: str) -> None:
    torch.manual_seed(0)
    ours = getattr(scratch_cells, kind)(7, 9, num_layers=2, dtype=torch.float64)
    theirs = getattr(nn, kind)(7, 9, num_layers=2, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(6, 1, 7, dtype=torch.float64)
    state = None
    outputs = []
    for step in x.split(1):
        output, state = ours(step, state)
        outputs.append(output)
    expected, final = theirs(x)
    torch.testing.assert_close(torch.cat(outputs), expected, rtol=1e-12, atol=1e-12)
    gradients = [
        torch.autograd.grad(out.pow(2).sum(), list(layer.parameters()))
        for out, layer in ((torch.cat(outputs), ours), (expected, theirs))
    ]
    for got, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(got, reference, rtol=1e-12, atol=1e-12)
    for got, reference in zip(parts(state), parts(final), strict=True):
        torch.testing.assert_close(got, reference, rtol=1e-12, atol=1e-12)


def test_too_little_memory_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = scratch_cells.GRU(3, 4, backend="c")
    library, _ = load_library(torch.float32)
    monkeypatch.setattr(library, "gru_forward_call", lambda args: 1)
    with pytest.raises(RuntimeError, match="needs more memory than there is for the forward pass"):
        layer(torch.randn(2, 1, 3))
