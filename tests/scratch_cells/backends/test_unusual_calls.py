"""Drawn calls with unusual tensors, hooks, patches and modes equal the reference loop.

Each call is a whole sequence of deviations. A backend gives what the loop gives: outputs, states
and gradients, or an exception of the same type with the same words.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scratch_cells.backends import KERNELS, select_backend
from scratch_cells.backends.eligibility import kind_of
from scratch_cells.cell import Cell, parts, whole
from tests.helpers.backends import CELLS, each_backend, each_kind, unroll_with

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t,
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "every other": lambda t: torch.stack([t, -t], -1).flatten(-2)[..., ::2],
    "offset": lambda t: torch.cat([t.flatten(), t.flatten()])[t.numel() :].view(t.shape),
    "expanded": lambda t: t[:1].expand_as(t),
    "one element": lambda t: t.flatten()[:1].expand(t.shape) if t.numel() else t,
    "size 1 of odd stride": lambda t: t.as_strided(
        t.shape, [n if size > 1 else 12345 for n, size in zip(t.stride(), t.shape, strict=True)]
    ),
    "negated": torch._neg_view,
    "parameter": nn.Parameter,
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "zero tensor": lambda t: torch._efficientzerotensor(t.shape, dtype=t.dtype),
    "meta": lambda t: t.to("meta"),
    "float32": Tensor.float,
    "bfloat16": Tensor.bfloat16,
    "one column": lambda t: t[..., :1],
    "one row less": lambda t: t[:-1],
    "a dimension more": lambda t: t.unsqueeze(0),
    "sparse": Tensor.to_sparse,
}
CHANGE_VALUES = ("expanded", "one element", "negated")
UNPACK: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: change for name, change in LAYOUTS.items() if name not in CHANGE_VALUES},
    "negated twice": lambda t: torch._neg_view(-t),
    "copied": Tensor.clone,
}
"""What hooks for saved tensors return: the same values in other memory. No program can rely on the
gradient of changed values: it depends on which tensors an implementation saves."""


class Halved(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return result / 2 if func is torch.tanh else result


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def halved(function: Any) -> Any:
    def replacement(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return type(result)(*(r / 2 for r in result)) if type(result) is not Tensor else result / 2

    return replacement


def global_hook(cell: Cell) -> Any:
    return nn.modules.module.register_module_forward_hook(
        lambda module, input, output: output / 2 if isinstance(module, nn.Linear) else None
    )


@contextmanager
def removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def hooked(module: nn.Module) -> Any:
    return removed(module.register_forward_hook(lambda module, input, output: output / 2))


SITUATIONS: dict[str, Callable[[Cell], Any]] = {
    "gates of the cell": lambda cell: replaced(cell, "gates", halved(cell.gates)),
    "gates of the class": lambda cell: replaced(type(cell), "gates", halved(type(cell).gates)),
    "step of the cell": lambda cell: replaced(cell, "step", cell.step),
    "project of Cell": lambda cell: replaced(Cell, "project", halved(Cell.project)),
    "activation": lambda cell: (
        replaced(cell, "activation", torch.sin) if hasattr(cell, "activation") else ExitStack()
    ),
    "forward of a Linear": lambda cell: replaced(
        cell.hidden_to_hidden, "forward", halved(cell.hidden_to_hidden.forward)
    ),
    "call of nn.Linear": lambda cell: replaced(nn.Linear, "__call__", halved(nn.Linear.__call__)),
    "torch.sigmoid": lambda cell: replaced(torch, "sigmoid", halved(torch.sigmoid)),
    "torch.tanh": lambda cell: replaced(torch, "tanh", halved(torch.tanh)),
    "F.linear": lambda cell: replaced(nn.functional, "linear", halved(nn.functional.linear)),
    "hook on a Linear": lambda cell: hooked(cell.input_to_hidden),
    "global hook": lambda cell: removed(global_hook(cell)),
    "function mode": lambda cell: Halved(),
    "default device": lambda cell: torch.device("cpu"),
    "autocast": lambda cell: torch.autocast("cpu", torch.bfloat16),
    "no_grad": lambda cell: torch.no_grad(),
    "deterministic fill": lambda cell: ExitStack(),
}


def outcome(
    backend: str,
    cell: Cell,
    operands: list[Tensor],
    batch_sizes: tuple[int, ...] | None,
    situation: str,
    unpack: str,
    reverse: bool,
) -> Any:
    """Outputs, final state and gradients, or the exception."""
    x, *state = operands
    leaves = [t for t in (x, *state, *cell.parameters()) if t.requires_grad]
    try:
        with SITUATIONS[situation](cell) if situation else ExitStack():
            hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: t, UNPACK.get(unpack))
            with hooks if unpack else ExitStack():
                output, final = unroll_with(backend, cell, x, whole(state), batch_sizes, reverse)
        returned = [output, *parts(final)]
        if output.requires_grad and output.device.type == "cpu":
            loss = sum((part * torch.linspace(1, 2, part.size(-1))).sum() for part in returned)
            returned += [
                g for g in torch.autograd.grad(loss, leaves, allow_unused=True) if g is not None
            ]
        return returned
    except (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError) as error:
        return type(error), str(error)


@each_kind
@each_backend
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 20)),
    layouts=st.lists(st.sampled_from(sorted(LAYOUTS)), min_size=7, max_size=7),
    other=st.one_of(st.none(), st.tuples(st.integers(0, 5), st.sampled_from(sorted(OTHERS)))),
    situation=st.one_of(st.just(""), st.just(""), st.sampled_from(sorted(SITUATIONS))),
    unpack=st.one_of(st.just(""), st.sampled_from(sorted(UNPACK))),
    needs=st.lists(st.booleans(), min_size=7, max_size=7),
    reverse=st.booleans(),
    packed=st.booleans(),
)
def test_unusual_calls_do_what_the_reference_loop_does(
    backend: str,
    kind: str,
    sizes: tuple[int, int, int, int],
    layouts: list[str],
    other: tuple[int, str] | None,
    situation: str,
    unpack: str,
    needs: list[bool],
    reverse: bool,
    packed: bool,
) -> None:
    """Packed: the last sequence is one step shorter than each of the others, if it can be."""
    torch.manual_seed(0)
    time, batch, input_size, hidden_size = sizes
    cell = CELLS[kind](input_size, hidden_size, dtype=torch.float64)
    batch_sizes = None
    lead: tuple[int, ...] = (time, batch)
    if packed:
        batch_sizes = (*[batch] * (time - 1), max(1, batch - 1))
        lead = (sum(batch_sizes),)
    x = torch.randn(*lead, input_size, dtype=torch.float64)
    state = [torch.randn(batch, hidden_size, dtype=torch.float64) for _ in cell.state_names]
    linears = [cell.input_to_hidden, cell.hidden_to_hidden]
    tensors = [x, *state[:1], *(t for m in linears for t in (m.weight, m.bias)), *state[1:]]
    changed = []
    for index, (tensor, layout, need) in enumerate(zip(tensors, layouts, needs, strict=False)):
        new = LAYOUTS[layout](tensor.detach()).detach()
        if other is not None and other[0] == index:
            new = OTHERS[other[1]](new).detach()
        changed.append(new.requires_grad_(need))
    x, h, w_ih, b_ih, w_hh, b_hh, *c = changed
    for linear, weight, bias in zip(linears, (w_ih, w_hh), (b_ih, b_hh), strict=True):
        linear._parameters["weight"], linear._parameters["bias"] = weight, bias
    operands = [x, h, *c]
    expected = outcome("plain", cell, operands, batch_sizes, situation, unpack, reverse)
    got = outcome(backend, cell, operands, batch_sizes, situation, unpack, reverse)
    if isinstance(expected, tuple):
        assert got == expected
        return
    assert isinstance(got, list), got
    assert len(got) == len(expected)
    if other is not None and other[1] == "meta":
        # Only what may move the weights, such as a hook, makes the loop compute here. It does not
        # move them, and torch's F.linear reads memory that was never written.
        got, expected = [[part.shape for part in result] for result in (got, expected)]
        assert got == expected
        return
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@each_kind
@each_backend
def test_usual_calls_of_this_file_run_the_backend(backend: str, kind: str) -> None:
    """So that the comparison above is not one of the loop with itself."""
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    for change in LAYOUTS.values():
        x = change(torch.randn(5, 2, 3, dtype=torch.float64))
        selected = select_backend(cell, x, cell.zero_state(x[0]), backend=backend).name
        assert selected == ("plain" if x.is_neg() else backend)
    assert (backend, kind_of(cell)) in KERNELS
