"""Checks of one hand-written cell: against torch.nn's cell, the equations, finite differences."""

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

import scratch_cells
from tests.helpers.oracles import EQUATIONS

Parts = tuple[Tensor, ...]


def parts_of(state: Any) -> Parts:
    return state if isinstance(state, tuple) else (state,)


def pair(kind: str, *sizes: int, seed: int = 0, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Our cell and torch.nn's, initialized from the same seed."""
    cells = []
    for package in (scratch_cells, nn):
        torch.manual_seed(seed)
        cells.append(getattr(package, f"{kind}Cell")(*sizes, **options))
    return cells[0], cells[1]


def draw_state(kind: str, *shape: int) -> Any:
    parts = tuple(
        torch.randn(*shape, dtype=torch.float64).requires_grad_()
        for _ in range(2 if kind == "LSTM" else 1)
    )
    return parts if kind == "LSTM" else parts[0]


def check_against_torch(kind: str, **options: Any) -> None:
    """Compare outputs and the gradients of x, state and every weight, for drawn sizes."""

    @given(
        input_size=st.integers(1, 4),
        hidden_size=st.integers(1, 5),
        batch=st.one_of(st.none(), st.integers(0, 4)),
        bias=st.booleans(),
        with_state=st.booleans(),
        seed=st.integers(0, 2**16),
    )
    def check(
        input_size: int,
        hidden_size: int,
        batch: int | None,
        bias: bool,
        with_state: bool,
        seed: int,
    ) -> None:
        ours, theirs = pair(
            kind, input_size, hidden_size, bias, seed=seed, dtype=torch.float64, **options
        )
        lead = () if batch is None else (batch,)
        x = torch.randn(*lead, input_size, dtype=torch.float64).requires_grad_()
        state = draw_state(kind, *lead, hidden_size) if with_state else None
        leaves = [x, *(parts_of(state) if with_state else ())]
        seen = []
        for cell in (ours, theirs):
            after = parts_of(cell(x, state))
            weights = list(cell.state_dict(keep_vars=True).items())
            loss = sum((part * torch.arange(1.0, 1 + part.size(-1))).sum() for part in after)
            gradients = torch.autograd.grad(loss, leaves + [w for _, w in weights])
            assert [name for name, _ in weights] == [
                f"{what}_{which}"
                for what in (["weight", "bias"] if bias else ["weight"])
                for which in ("ih", "hh")
            ]
            seen.append((*after, *gradients))
        for got, expected in zip(*seen, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)

    check()


def check_against_equations(kind: str) -> None:
    """Compare the new state with the transcribed equations, sample by sample."""
    torch.manual_seed(0)
    cell = getattr(scratch_cells, f"{kind}Cell")(3, 4, dtype=torch.float64)
    x, state = torch.randn(2, 3, dtype=torch.float64), draw_state(kind, 2, 4)
    after = parts_of(cell(x, state))
    for sample in range(2):
        before = [part[sample] for part in parts_of(state)]
        expected = parts_of(EQUATIONS[kind](cell.state_dict(), 4, x[sample], *before))
        for got, want in zip(after, expected, strict=True):
            torch.testing.assert_close(got[sample], want, rtol=1e-12, atol=1e-12)


def check_gradients(kind: str, **options: Any) -> None:
    """Compare first and second derivatives with finite differences: x, state, every weight."""
    torch.manual_seed(0)
    cell = getattr(scratch_cells, f"{kind}Cell")(2, 3, dtype=torch.float64, **options)
    x = torch.randn(2, 2, dtype=torch.float64).requires_grad_()
    state = parts_of(draw_state(kind, 2, 3))
    names, weights = zip(*cell.named_parameters(), strict=True)

    def call(x: Tensor, *leaves: Tensor) -> Parts:
        given, drawn = leaves[: len(state)], leaves[len(state) :]
        hx = tuple(given) if kind == "LSTM" else given[0]
        arguments = dict(zip(names, drawn, strict=True))
        return parts_of(torch.func.functional_call(cell, arguments, (x, hx)))

    assert gradcheck(call, (x, *state, *weights))
    assert gradgradcheck(call, (x, *state, *weights))
