"""Check a user's cell or layer on a small batch, and say what is wrong with it, and where.

Without these checks, a wrong shape would raise an error somewhere in this project, after the line
that has the mistake.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from command_line.errors import own_line, own_place
from scratch_cells import Cell
from scratch_cells.recurrent_stack import RecurrentStack
from shared_interface import ImplementationError

BATCH, TIME = 2, 3


@torch.no_grad()
def check_layer(layer: nn.Module, input_size: int, name: str) -> None:
    """Run a cell for one step, and a layer for three, and check the shapes of the results.

    Args:
        layer: created with ``batch_first=True``; of any class.
        input_size: number of features of a time step.
        name: of the layer, for the message.

    Raises:
        ImplementationError: a result has another structure or shape than it should have.
    """
    was_training = layer.training
    layer.eval()  # dropout would draw from the random generator
    if isinstance(layer, RecurrentStack):
        cell = next(each for each in layer.modules() if isinstance(each, Cell))
        _check_cell(cell, name)
    x = torch.zeros(BATCH, TIME, input_size)
    result = _call(layer.forward, name, lambda: layer(x))
    if not isinstance(result, tuple) or len(result) != 2:
        _fail(layer.forward, name, f"{_describe(result)}, expected (output, final state)")
    output, state = result
    if not isinstance(output, Tensor) or output.shape[:2] != (BATCH, TIME) or output.dim() != 3:
        expected = f"(batch {BATCH}, time {TIME}, features) with batch_first=True"
        _fail(layer.forward, name, f"an output that is {_describe(output)}, expected {expected}")
    _check_final_state(layer, name, state)
    layer.train(was_training)


def _check_cell(cell: Cell, name: str) -> None:
    x = torch.zeros(BATCH, cell.input_size)
    state = cell.zero_state(x)
    projected = _call(cell.project, name, lambda: cell.project(x))
    if type(cell).step is not Cell.step:
        _check_state(
            cell, name, cell.step, _call(cell.step, name, lambda: cell.step(projected, state))
        )
        return
    gates = _call(cell.gates, name, lambda: cell.gates(projected, state))
    fields = cell.Gates._fields  # type: ignore[attr-defined]  # of a NamedTuple
    if getattr(gates, "_fields", None) != fields:
        _fail(cell.gates, name, f"{_describe(gates)}, expected Gates({', '.join(fields)})")
    _check_state(
        cell, name, cell.update, _call(cell.update, name, lambda: cell.update(gates, state))
    )


def _check_state(cell: Cell, name: str, method: Callable[..., Any], state: Any) -> None:
    """The state after a step: a tensor, or a tuple if it has several parts."""
    names, sizes = cell.state_names, cell.state_sizes
    expected = ", ".join(f"{part} {(BATCH, size)}" for part, size in zip(names, sizes, strict=True))
    found = [state] if len(names) == 1 else state
    if not (
        isinstance(found, list | tuple)
        and len(found) == len(names)
        and all(isinstance(part, Tensor) for part in found)
        and [tuple(part.shape) for part in found] == [(BATCH, size) for size in sizes]
    ):
        rule = f"expected {expected} for a batch of {BATCH}"
        _fail(method, name, f"a state that is {_describe(state)}, {rule}")


def _check_final_state(layer: nn.Module, name: str, state: Any) -> None:
    hidden = state[0] if isinstance(state, tuple) and state else state
    if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.size(1) != BATCH:
        rule = f"expected h_n of shape (layers x directions, batch {BATCH}, hidden_size)"
        _fail(layer.forward, name, f"a final state that is {_describe(state)}, {rule}")


def _call(method: Callable[..., Any], name: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:  # user code may raise anything
        place = "" if own_place(error) else f"{_place(method)}: "
        raise ImplementationError(f"{name} cannot be used: {place}{own_line(error)}") from error


def _fail(method: Callable[..., Any], name: str, problem: str) -> None:
    raise ImplementationError(
        f"{name} cannot be used: {_place(method)}: {method.__name__}() returned {problem}"
    )


def _place(method: Callable[..., Any]) -> str:
    """``my_cell.py:12``, where a method is defined."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else method.__name__


def _describe(value: Any) -> str:
    """The structure of a result: ``a tuple of (2, 5) and (2, 5)``."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        parts = " and ".join(
            str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__
            for part in value
        )
        return f"a {type(value).__name__} of {parts or 'nothing'}"
    return f"a {type(value).__name__}" if value is not None else "None"
