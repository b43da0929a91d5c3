"""bfloat16, float16 and autocast in the C backend: dtypes, contexts, changed weights, overflow."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import scratch_cells
from scratch_cells.cell import Cell, parts, whole
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw,
    each_unprojected_kind,
    needs_c,
    unroll_with,
)
from tests.helpers.half_precision import HALF, autocast_to, each_half, each_mode

pytestmark = needs_c


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    torch.manual_seed(0)


# --- dtypes under autocast ------------------------------------------------------------------------

DTYPES = (torch.float32, *HALF, torch.float64)


def outcome(backend: str, cell: Cell, x: Tensor, state: list[Tensor]) -> Any:
    """Returned tensors and gradients, or the exception; and the backend that ran."""
    leaves = [t for t in (x, *state, *cell.parameters()) if t.requires_grad]
    try:
        output, final = unroll_with(backend, cell, x, whole(state))
        returned = (output, *parts(final))
        gradients = torch.autograd.grad(sum(part.sum() for part in returned), leaves)
        return (*returned, *gradients), backend_of(output)
    except RuntimeError as error:
        return type(error), str(error)


@each_unprojected_kind
@pytest.mark.parametrize("weights", DTYPES, ids=str)
@pytest.mark.parametrize("inputs", DTYPES, ids=str)
def test_autocast_gives_the_dtypes_and_exceptions_of_the_loop(
    kind: str, weights: torch.dtype, inputs: torch.dtype
) -> None:
    """For operands of all dtypes, a bias or a state of another one, and both dtypes of autocast."""
    cell = CELLS[kind](3, 4).to(weights)
    for autocast in HALF:
        for h in DTYPES:
            for c in (h, torch.float32)[: len(cell.state_names)]:
                cell.hidden_to_hidden.bias.data = cell.hidden_to_hidden.bias.data.to(h)
                x = torch.randn(5, 2, 3).to(inputs).requires_grad_()
                state = [torch.randn(2, 4).to(each).requires_grad_() for each in (h, c)]
                state = state[: len(cell.state_names)]
                with autocast_to(autocast):
                    got, expected = (outcome(name, cell, x, state) for name in ("c", "plain"))
                if isinstance(expected[0], type):
                    assert got == expected
                    continue
                casts = torch.float64 not in (weights, inputs, h, c)
                assert got[1] == ("c" if casts else "plain")
                for a, b in zip(got[0], expected[0], strict=True):
                    assert a.dtype is b.dtype
                    if "relu" in kind:  # a rounding may change the sign of a pre-activation
                        continue
                    scale = max(1.0, b.abs().max().item())
                    torch.testing.assert_close(a, b, rtol=0, atol=0.03 * scale)


# --- where autocast is on -------------------------------------------------------------------------


def enabled_directly() -> Any:
    """Autocast to float32, which ``torch.autocast`` does not offer on a CPU."""
    stack = ExitStack()
    stack.callback(torch.set_autocast_dtype, "cpu", torch.get_autocast_dtype("cpu"))
    stack.callback(torch.set_autocast_enabled, "cpu", False)
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float32)
    return stack


def nested(*contexts: Any) -> Any:
    stack = ExitStack()
    for context in contexts:
        stack.enter_context(context)
    return stack


CONTEXTS: dict[str, tuple[Callable[[], Any], str, torch.dtype]] = {
    "bfloat16": (lambda: autocast_to(torch.bfloat16), "c", torch.bfloat16),
    "float16": (lambda: autocast_to(torch.float16), "c", torch.float16),
    "no cache": (
        lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False),
        "c",
        torch.bfloat16,
    ),
    "off inside": (
        lambda: nested(autocast_to(torch.bfloat16), torch.autocast("cpu", enabled=False)),
        "c",
        torch.float32,
    ),
    "another inside": (
        lambda: nested(autocast_to(torch.bfloat16), autocast_to(torch.float16)),
        "c",
        torch.float16,
    ),
    "float32": (enabled_directly, "plain", torch.float32),
    "inference": (
        lambda: nested(torch.inference_mode(), autocast_to(torch.bfloat16)),
        "c",
        torch.bfloat16,
    ),
    "no gradient": (
        lambda: nested(torch.no_grad(), autocast_to(torch.bfloat16)),
        "c",
        torch.bfloat16,
    ),
}


@pytest.mark.parametrize("context", CONTEXTS)
def test_each_context_is_recognized(context: str) -> None:
    enter, backend, dtype = CONTEXTS[context]
    torch.manual_seed(0)
    layer, plain = scratch_cells.RNN(3, 4), scratch_cells.RNN(3, 4, backend="plain")
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3)
    with enter():
        assert layer.backend_for(x).name == backend
        (output, _), (expected, _) = layer(x), plain(x)
    assert output.dtype is expected.dtype is dtype
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-2)


@each_unprojected_kind
@each_half
def test_a_backward_pass_under_autocast_does_not_change_the_gradient(
    kind: str, half: torch.dtype
) -> None:
    """The dtype of autocast while the gradient is computed has no effect."""
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 5, 2)
    leaves = [x, *parts(state), *cell.parameters()]
    with autocast_to(half):
        output, _ = unroll_with("c", cell, x, state)
    expected = torch.autograd.grad(
        output.float().sum(), leaves, retain_graph=True, allow_unused=True
    )
    with autocast_to(torch.bfloat16 if half is torch.float16 else torch.float16):
        got = torch.autograd.grad(output.float().sum(), leaves, allow_unused=True)
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


@each_unprojected_kind
@each_half
@each_mode
def test_a_second_derivative_is_that_of_the_loop(
    kind: str, half: torch.dtype, autocast: bool
) -> None:
    seen = []
    for backend in ("c", "plain"):
        torch.manual_seed(0)
        cell = CELLS[kind](3, 4).to(torch.float32 if autocast else half)
        x, state = draw(cell, 5, 2)
        with autocast_to(half if autocast else None):
            output, _ = unroll_with(backend, cell, x, state)
        assert backend_of(output) == backend
        (d_x,) = torch.autograd.grad(output.float().sum(), x, create_graph=True)
        leaves = [x, *parts(state), *cell.parameters()]
        second = torch.autograd.grad(d_x.float().square().sum(), leaves, allow_unused=True)
        seen.append((d_x, *second))
    for a, b in zip(*seen, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.dtype is b.dtype
            scale = max(1.0, b.abs().max().item())
            torch.testing.assert_close(a, b, rtol=0, atol=0.05 * scale)


# --- weights that change, and range ---------------------------------------------------------------

CHANGES: dict[str, Callable[[nn.Parameter], Any]] = {
    "in place": lambda w: w.detach().add_(0.5),
    "data in place": lambda w: w.data.add_(0.5),
    "new data": lambda w: setattr(w, "data", w.data + 0.5),
    "NumPy": lambda w: w.data.view(torch.int16).numpy().fill(0x3F00),
    "set_": lambda w: w.detach_().set_(w + 0.5),
}


@pytest.mark.parametrize("change", CHANGES)
@each_mode
def test_a_changed_weight_is_used_in_the_next_call(change: str, autocast: bool) -> None:
    dtype = torch.float32 if autocast else torch.bfloat16
    layer = scratch_cells.LSTM(4, 6, dtype=dtype)
    plain = scratch_cells.LSTM(4, 6, dtype=dtype, backend="plain")
    x = torch.randn(3, 2, 4, dtype=dtype)
    with torch.no_grad(), autocast_to(torch.bfloat16 if autocast else None):
        before, _ = layer(x)
    CHANGES[change](layer.cells[0].hidden_to_hidden.weight)
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad(), autocast_to(torch.bfloat16 if autocast else None):
        (after, _), (expected, _) = layer(x), plain(x)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, expected, rtol=0, atol=2e-2)


@each_half
@each_mode
def test_overflow_gives_infinity_as_in_the_loop(half: torch.dtype, autocast: bool) -> None:
    """An RNN with ReLU whose h grows by a constant factor, and shrinks again from infinity."""
    largest = torch.finfo(half).max
    x = torch.tensor([largest / 4, 0, 0, 0, 0, -1.0]).view(-1, 1, 1)
    weights = torch.float32 if autocast else half
    seen = []
    for backend in ("c", "plain"):
        cell = CELLS["RNN relu"](1, 1, bias=False).to(weights)
        cell.load_state_dict({"weight_ih": torch.ones(1, 1), "weight_hh": torch.full((1, 1), 2.0)})
        with torch.no_grad(), autocast_to(half if autocast else None):
            state = torch.zeros(1, 1, dtype=weights)
            output, final = unroll_with(backend, cell, x.to(weights), state)
        seen.append((output, *parts(final)))
    assert seen[0][0].isinf().tolist() == seen[1][0].isinf().tolist()
    assert seen[0][0][3:].isinf().all()
    for got, expected in zip(*seen, strict=True):
        assert torch.equal(got, expected)


@each_unprojected_kind
def test_infinite_and_nan_inputs_stay_in_their_row(kind: str) -> None:
    cell = CELLS[kind](3, 20, dtype=torch.bfloat16)
    x, state = draw(cell, 4, 8)
    with torch.no_grad():
        expected, _ = unroll_with("c", cell, x, state)
        x[1, 2, 0], x[2, 5, 1] = torch.nan, torch.inf
        got, _ = unroll_with("c", cell, x, state)
        plain, _ = unroll_with("plain", cell, x, state)
    others = [row for row in range(8) if row not in (2, 5)]
    assert torch.equal(got[:, others], expected[:, others])
    assert got[1:, 2].isnan().all()
    torch.testing.assert_close(got, plain, rtol=0, atol=4e-2, equal_nan=True)
