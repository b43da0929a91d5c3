"""The C backend uses autocast's cache of rounded weights, and fills it, as the reference loop does.

A program of calls and changes runs with the loop, with the C backend, and with both in turn. All
weights and inputs are small integers, so that the RNN with ReLU computes without any rounding: its
results are equal bit for bit, or a weight was not the one that the loop uses.
"""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

import scratch_cells
from scratch_cells.cell import parts
from tests.helpers.backends import CELLS, backend_of, needs_c, unroll_with
from tests.helpers.half_precision import autocast_to

pytestmark = needs_c

KINDS = {"RNN relu": 0.0, "GRU": 0.05, "LSTM": 0.05}
"""Kind of layer -> how much the results may differ by rounding."""

LIMIT = 2
"""The largest weight. The RNN computes integers below 256; bfloat16 rounds none of them."""


def make_layer(kind: str) -> Any:
    options = {"nonlinearity": "relu"} if kind == "RNN relu" else {}
    layer = getattr(scratch_cells, kind.split()[0])(2, 2, **options)
    generator = torch.Generator().manual_seed(0)
    for weight in layer.parameters():
        weight.data = torch.randint(-1, 2, weight.shape, generator=generator).float()
    return layer


class Program:
    """A layer, its input, the autocast blocks and what was computed."""

    def __init__(self, kind: str, backends: tuple[str, ...]) -> None:
        self.layer = make_layer(kind)
        self.weights = list(self.layer.parameters())
        generator = torch.Generator().manual_seed(1)
        x = torch.randint(0, 2, (2, 3, 2), generator=generator).float()
        self.leaves = [*self.weights, x.requires_grad_()]
        self.backends = cycle(backends)
        self.blocks: list[Any] = []
        self.losses: list[Tensor] = []
        self.seen: list[Any] = []

    def call(self, mode: Any = None) -> None:
        self.layer.backend = next(self.backends)
        try:
            with mode() if mode else ExitStack():
                output, final = self.layer(self.leaves[-1])
        except RuntimeError as error:
            self.seen.append(str(error))
            return
        self.seen += [output.detach(), *(part.detach() for part in parts(final))]
        self.seen.append(output.requires_grad)
        if output.requires_grad:
            self.losses.append(output.float().sum() + parts(final)[-1].float().sum())

    def call_without_gradient(self) -> None:
        self.call(torch.no_grad)

    def call_in_inference_mode(self) -> None:
        self.call(torch.inference_mode)

    def change(self, index: int, by: float = 1) -> None:
        with torch.no_grad():
            leaf = self.leaves[index % len(self.leaves)]
            leaf.copy_(torch.where(leaf + by > LIMIT, -LIMIT, leaf + by))

    def change_data(self, index: int) -> None:
        leaf = self.leaves[index % len(self.leaves)]
        leaf.data.copy_(torch.where(leaf.data < LIMIT, leaf.data + 1, -LIMIT))

    def replace_data(self, index: int) -> None:
        leaf = self.leaves[index % len(self.leaves)]
        leaf.data = torch.where(leaf.data < LIMIT, leaf.data + 1, -LIMIT)

    def freeze(self, index: int) -> None:
        leaf = self.leaves[index % len(self.leaves)]
        leaf.requires_grad_(not leaf.requires_grad)

    def train(self) -> None:
        """The backward pass of all calls since the last one, and a step of an optimizer."""
        if not self.losses:
            return
        with torch.autocast("cpu", enabled=False):
            sum(self.losses[1:], self.losses[0]).backward()
        self.losses = []
        for leaf in self.leaves:
            if leaf.grad is not None:
                self.seen.append(leaf.grad)
                with torch.no_grad():
                    leaf.add_(leaf.grad.sign()).clamp_(-LIMIT, LIMIT)
                leaf.grad = None

    def enter(self, dtype: torch.dtype = torch.bfloat16, **options: Any) -> None:
        block = torch.autocast("cpu", dtype, **options)
        block.__enter__()
        self.blocks.append(block)

    def enter_without_cache(self) -> None:
        self.enter(cache_enabled=False)

    def enter_disabled(self) -> None:
        self.enter(enabled=False)

    def enter_float16(self) -> None:
        self.enter(torch.float16)

    def leave(self) -> None:
        if len(self.blocks) > 1:
            self.blocks.pop().__exit__(None, None, None)

    def leave_all(self) -> None:
        while self.blocks:
            self.blocks.pop().__exit__(None, None, None)

    def clear_cache(self) -> None:
        torch.clear_autocast_cache()


Step = tuple[Any, ...]
CALLS = ("call", "call", "call_without_gradient", "call_in_inference_mode")
CHANGES = ("change", "change", "change_data", "replace_data", "freeze")
OTHERS = ("train", "enter", "enter_without_cache", "enter_disabled", "enter_float16", "leave")
steps = st.one_of(
    st.sampled_from([(name,) for name in CALLS]),
    st.tuples(st.sampled_from(CHANGES), st.integers(0, 4)),
    st.sampled_from([(name,) for name in (*OTHERS, "clear_cache")]),
)


def run(kind: str, program: list[Step], *backends: str) -> list[Any]:
    """What each call returns, its error, and the gradients."""
    state = Program(kind, backends)
    try:
        state.enter()
        for name, *arguments in program:
            getattr(state, name)(*arguments)
        state.train()
    finally:
        state.leave_all()
    return state.seen


def assert_same(kind: str, program: list[Step]) -> None:
    expected = run(kind, program, "plain")
    for backends in (("c",), ("plain", "c"), ("c", "plain")):
        got = run(kind, program, *backends)
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            if not isinstance(b, Tensor):
                assert a == b
                continue
            assert isinstance(a, Tensor)
            torch.testing.assert_close(a, b, rtol=0, atol=KINDS[kind])


@given(program=st.lists(steps, min_size=3, max_size=12))
@settings(max_examples=settings().max_examples // 2)
@example(program=[("call",), ("change", 0), ("call",), ("train",), ("call",)])
@example(program=[("call",), ("enter_float16",), ("call",)])
@example(program=[("call_without_gradient",), ("change", 1), ("call",), ("train",)])
def test_a_drawn_program_gives_the_results_of_the_loop(program: list[Step]) -> None:
    assert_same("RNN relu", program)


PROGRAMS: dict[str, list[Step]] = {
    "change": [("call",), ("change", 0), ("change", 1), ("call",), ("train",)],
    "bias": [("call",), ("change_data", 2), ("replace_data", 3), ("call",), ("train",)],
    "input": [("call",), ("change", 4), ("call",), ("train",)],
    "optimizer": [("call",), ("train",), ("call",), ("train",), ("call",)],
    "no gradient first": [("call_without_gradient",), ("change", 1), ("call",), ("train",)],
    "inference": [("call",), ("change", 1), ("call_in_inference_mode",), ("call",)],
    "no cache": [("call",), ("change", 1), ("enter_without_cache",), ("call",), ("leave",)],
    "nested": [("enter",), ("call",), ("change", 1), ("leave",), ("call",), ("train",)],
    "frozen": [("freeze", 1), ("call",), ("change", 1), ("call",), ("train",)],
    "frozen later": [("call",), ("change", 1), ("freeze", 1), ("call",), ("freeze", 1), ("call",)],
    "cleared": [("call",), ("change", 1), ("clear_cache",), ("call",), ("train",)],
    "float16": [("call",), ("enter_float16",), ("call",), ("leave",), ("change", 1), ("call",)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_gives_the_results_of_the_loop(kind: str, program: str) -> None:
    assert_same(kind, PROGRAMS[program])


def test_the_programs_differ_from_those_without_a_cache() -> None:
    """So the tests above can fail."""
    changed = [("call",), ("change", 1), ("call",)]
    cached = run("RNN relu", changed, "plain")
    assert torch.equal(cached[0], cached[3])
    direct = run("RNN relu", [("enter_without_cache",), *changed], "plain")
    assert not torch.equal(direct[0], direct[3])


@pytest.mark.parametrize("backend", ["plain", "c"])
def test_a_weight_may_change_between_the_forward_and_the_backward_pass(backend: str) -> None:
    """What is saved is the rounded copy, also of a frozen weight."""
    layer = make_layer("GRU")
    layer.backend = backend
    next(iter(layer.parameters())).requires_grad_(False)
    x = torch.randn(3, 2, 2)
    gradients = []
    for change in (0.0, 1.0):
        with autocast_to(torch.bfloat16):
            output, _ = layer(x)
        with torch.no_grad():
            for weight in layer.parameters():
                weight.add_(change)
        weights = [weight for weight in layer.parameters() if weight.requires_grad]
        gradients.append(torch.autograd.grad(output.float().sum(), weights))
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


@pytest.fixture
def state() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(3, 4).requires_grad_()


def test_an_initial_state_that_was_changed_runs_the_loop(state: Tensor) -> None:
    """The loop then multiplies by the old h_0, and adds the new one."""
    cell = CELLS["GRU"](2, 4)
    x = torch.randn(5, 3, 2)
    with autocast_to(torch.bfloat16):
        first, _ = unroll_with("c", cell, x, state)
        with torch.no_grad():
            state.add_(1)
        got, _ = unroll_with("c", cell, x, state)
        expected, _ = unroll_with("plain", cell, x, state)
    assert (backend_of(first), backend_of(got)) == ("c", "plain")
    assert torch.equal(got, expected)


RESHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "larger": lambda weight: weight.repeat(1, 2),
    "transposed": lambda weight: weight.t().contiguous().t(),
}


@pytest.mark.parametrize("reshape", RESHAPES)
@pytest.mark.parametrize("first", ["c", "plain"])
def test_a_copy_of_another_shape_runs_the_loop(reshape: str, first: str) -> None:
    """After ``weight.data`` has another shape, the loop still multiplies by the old copy."""
    outputs = []
    for backend in ("c", "plain"):
        layer = make_layer("RNN relu")
        x = torch.ones(2, 3, 2)
        with autocast_to(torch.bfloat16):
            layer.backend = first
            layer(x)
            weight = layer.cells[0].input_to_hidden.weight
            weight.data = RESHAPES[reshape](weight.data)
            layer.backend = backend
            outputs.append(layer(x)[0])
    assert torch.equal(*outputs)
