"""The argument checks, with torch.nn's own exceptions, words and order."""

import numbers
import sys
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from scratch_cells.cell import Cell


def check_layer_arguments(
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    batch_first: bool,
    dropout: float,
    proj_size: int,
) -> None:
    """Refuse what torch.nn.RNN, GRU and LSTM refuse to be built from."""
    if (
        not isinstance(dropout, numbers.Number)
        or isinstance(dropout, bool)
        or not 0 <= dropout <= 1
    ):
        raise ValueError(
            "dropout should be a number in range [0, 1] "
            "representing the probability of an element being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
            stacklevel=_callers_stacklevel(),
        )
    for name, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(flag).__name__}")
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


def _callers_stacklevel() -> int:
    """Where the line that builds the layer stands, counted from the function that warns."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    return level


def check_backend(backend: str, known: Iterable[str]) -> None:
    """Raise ValueError for an unknown backend."""
    if backend not in known:
        raise ValueError(f"backend is {backend!r}: expected one of {', '.join(known)}")


def check_nonlinearity(nonlinearity: str) -> None:
    """Refuse what torch.nn.RNN does not know."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")


def check_no_projection(keywords: dict[str, Any]) -> None:
    """Refuse ``proj_size=`` for RNN and GRU, whatever its value."""
    if "proj_size" in keywords:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


def state_parts(name: str, hx: Any, expected: int) -> tuple[Tensor, ...]:
    """The parts of the state that ``name`` is called with; refuse another number of them."""
    if expected == 1:
        return (hx,)
    if not isinstance(hx, tuple | list) or len(hx) != expected:
        count = {2: "two"}.get(expected, str(expected))
        raise RuntimeError(f"{name} expects {count} hidden states")
    return tuple(hx)


def check_input_dim(name: str, input: Tensor) -> None:
    """Refuse a sequence that is neither (T, I) nor batched."""
    if input.dim() not in (2, 3):
        tensor = " tensor" if name == "RNN" else ""  # torch.nn.RNN says it so
        raise ValueError(
            f"{name}: Expected input to be 2D or 3D, got {input.dim()}D{tensor} instead"
        )


def check_state_dim(input: Tensor, state: tuple[Tensor, ...]) -> None:
    """Refuse a state that has a batch axis where the input has none, or the other way round."""
    dims = [part.dim() for part in state]
    if any(dim != input.dim() for dim in dims):
        batched = "batched" if input.dim() == 3 else "unbatched"
        want = f"For {batched} {input.dim()}-D input, hx {{}}should also be {input.dim()}-D but got"
        if len(dims) == 1:
            raise RuntimeError(f"{want.format('')} {dims[0]}-D tensor")
        got = ", ".join(f"{dim}-D" for dim in dims)
        raise RuntimeError(f"{want.format('and cx ')} ({got}) tensors")


def check_input(input: Tensor, expected_dim: int, input_size: int, dtype: torch.dtype) -> None:
    """Refuse a sequence of another dtype or feature size than the weights'."""
    if input.dtype != dtype and not torch.is_autocast_enabled(input.device.type):
        raise ValueError(
            f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
            f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})"
        )
    if input.dim() != expected_dim:
        raise RuntimeError(f"input must have {expected_dim} dimensions, got {input.dim()}")
    if input.size(-1) != input_size:
        raise RuntimeError(
            "input.size(-1) must be equal to input_size. "
            f"Expected {input_size}, got {input.size(-1)}"
        )


def check_state(state: tuple[Tensor, ...], expected: list[tuple[int, int, int]]) -> None:
    """Refuse other sizes than (layers * directions, batch, size) of each part of a state."""
    for index, (part, size) in enumerate(zip(state, expected, strict=True)):
        if part.size() != size:
            which = "hidden" if len(state) == 1 else f"hidden[{index}]"
            raise RuntimeError(f"Expected {which} size {size}, got {list(part.size())}")


def check_state_dtype(state: tuple[Tensor, ...], input: Tensor) -> None:
    """Refuse a state that would silently turn the outputs into another dtype."""
    for part in state:
        if part.dtype != input.dtype and not torch.is_autocast_enabled(input.device.type):
            raise RuntimeError(
                f"hx dtype ({part.dtype}) does not match input dtype ({input.dtype}). "
                f"Convert hx to {input.dtype}"
            )


def check_time(time: int) -> None:
    """Refuse a sequence without a step."""
    if time == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")


def check_cell_call(cell: "Cell", input: Tensor, hx: Any) -> None:
    """Refuse what torch.nn.RNNCell, GRUCell and LSTMCell refuse to be called with."""
    name = type(cell).__name__
    if input.dim() not in (1, 2):
        raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
    c_name = f"{name.removesuffix('Cell').lower()}_cell"
    state = () if hx is None else state_parts(c_name, hx, len(cell.state_names))
    for index, part in enumerate(state):
        if part.dim() not in (1, 2):
            which = "hidden" if len(cell.state_names) == 1 else f"hx[{index}]"
            raise ValueError(f"{name}: Expected {which} to be 1D or 2D, got {part.dim()}D instead")
    if input.size(-1) != cell.input_size:
        raise RuntimeError(
            f"input has inconsistent input_size: got {input.size(-1)} expected {cell.input_size}"
        )
    if state:
        for index, (part, size) in enumerate(zip(state, cell.state_sizes, strict=True)):
            _check_cell_state(f"hidden{index}", part, size, input)


def _check_cell_state(name: str, part: Tensor, size: int, input: Tensor) -> None:
    if part.dim() != input.dim():
        # torch.nn gives an unbatched call a batch axis first, and counts it.
        dim = part.dim() + 2 - input.dim()
        raise RuntimeError(f"Expected 2D {name} (batch x hidden_size), but got {dim}D tensor")
    if part.dim() == 2 and part.size(0) != input.size(0):
        raise RuntimeError(
            f"Input batch size {input.size(0)} doesn't match {name} batch size {part.size(0)}"
        )
    if part.size(-1) != size:
        raise RuntimeError(
            f"{name} has inconsistent hidden_size: got {part.size(-1)}, expected {size}"
        )
