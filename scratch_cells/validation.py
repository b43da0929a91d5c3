"""Argument checks that raise the exceptions of torch.nn, with its messages, in its order."""

import numbers
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def check_layer_arguments(
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    batch_first: bool,
    dropout: float,
    proj_size: int,
) -> None:
    """Validate constructor arguments as torch.nn.RNN, GRU and LSTM do.

    Raises:
        TypeError, ValueError: as torch.nn.

    Warns:
        UserWarning: ``dropout`` has no effect because there is only one layer.
    """
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
    """Return the ``stacklevel`` of the line that constructs the layer, for the caller's warning."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    return level


def check_backend(backend: str, known: Iterable[str]) -> None:
    """Raise ValueError for an unknown backend."""
    if backend not in known:
        raise ValueError(f"backend is {backend!r}: expected one of {', '.join(known)}")


def check_nonlinearity(nonlinearity: str) -> None:
    """Raise ValueError, as torch.nn.RNN does, unless ``nonlinearity`` is "tanh" or "relu"."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")


def check_no_projection(keywords: dict[str, Any]) -> None:
    """Raise ValueError, as torch.nn.RNN and GRU do, if ``proj_size=`` is given, even as 0."""
    if "proj_size" in keywords:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


def check_state_parts(name: str, hx: Any, expected: int) -> tuple[Tensor, ...]:
    """Return the parts of a state as a tuple; raise RuntimeError if their number is wrong.

    Args:
        name: the start of torch.nn's message, for example ``lstm``.
        hx: the state that the user passed: a tensor, or a tuple of ``expected`` tensors.
        expected: number of parts.
    """
    if expected == 1:
        return (hx,)
    if not isinstance(hx, tuple | list) or len(hx) != expected:
        count = {2: "two"}.get(expected, str(expected))
        raise RuntimeError(f"{name} expects {count} hidden states")
    return tuple(hx)


def check_input_dim(name: str, input: Tensor) -> None:
    """Raise ValueError unless the input is 2-D (unbatched) or 3-D (batched)."""
    if not 2 <= input.dim() <= 3:
        tensor = " tensor" if name == "RNN" else ""  # only torch.nn.RNN's message has this word
        raise ValueError(
            f"{name}: Expected input to be 2D or 3D, got {input.dim()}D{tensor} instead"
        )


def check_state_dim(input: Tensor, state: tuple[Tensor, ...]) -> None:
    """Raise RuntimeError unless every part of the state has as many dimensions as the input."""
    dims = [part.dim() for part in state]
    if any(dim != input.dim() for dim in dims):
        batched = "batched" if input.dim() == 3 else "unbatched"
        rule = f"For {batched} {input.dim()}-D input, hx {{}}should also be {input.dim()}-D but got"
        if len(dims) == 1:
            raise RuntimeError(f"{rule.format('')} {dims[0]}-D tensor")
        got = ", ".join(f"{dim}-D" for dim in dims)
        raise RuntimeError(f"{rule.format('and cx ')} ({got}) tensors")


def check_input(
    input: Tensor, expected_dim: int, input_size: int, dtype: torch.dtype | None
) -> None:
    """Raise unless the input has the dtype of the weights (or autocast is on) and their size.

    Args:
        input: the input of a layer.
        expected_dim: its number of dimensions.
        input_size: its number of features.
        dtype: the dtype of the weights, or None if they have no single dtype.

    Raises:
        ValueError: wrong dtype.
        RuntimeError: wrong number of dimensions or wrong feature size.
    """
    shape = input.shape
    if (
        dtype is not None
        and input.dtype != dtype
        and not torch.is_autocast_enabled(input.device.type)
    ):
        raise ValueError(
            f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
            f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})"
        )
    if len(shape) != expected_dim:
        raise RuntimeError(f"input must have {expected_dim} dimensions, got {len(shape)}")
    if shape[-1] != input_size:
        raise RuntimeError(
            f"input.size(-1) must be equal to input_size. Expected {input_size}, got {shape[-1]}"
        )


def check_state(state: tuple[Tensor, ...], expected: list[tuple[int, int, int]]) -> None:
    """Raise RuntimeError unless each part is (layers * directions, batch, size) as expected."""
    for index, (part, size) in enumerate(zip(state, expected, strict=True)):
        if part.size() != size:
            which = "hidden" if len(state) == 1 else f"hidden[{index}]"
            raise RuntimeError(f"Expected {which} size {size}, got {list(part.size())}")


def check_state_dtype(state: tuple[Tensor, ...], input: Tensor) -> None:
    """Raise RuntimeError unless the state has the input's dtype, or autocast is on.

    Without this check, type promotion would silently change the dtype of the outputs.
    """
    for part in state:
        if part.dtype != input.dtype and not torch.is_autocast_enabled(input.device.type):
            raise RuntimeError(
                f"hx dtype ({part.dtype}) does not match input dtype ({input.dtype}). "
                f"Convert hx to {input.dtype}"
            )


def check_batch_sizes(batch_sizes: Tensor, rows: int) -> tuple[int, ...]:
    """Return the batch sizes of a PackedSequence; raise for a wrong one, as torch.nn does.

    Args:
        batch_sizes: number of sequences at each time step. torch.nn ignores rows that follow those
            of the last time step.
        rows: number of rows of the data.

    Raises:
        IndexError: there is no time step.
        RuntimeError: a wrong dtype, more rows than there are, or a time step with more sequences
            than the one before it.
    """
    if batch_sizes.dtype != torch.int64:
        name = {torch.int32: "Int", torch.float32: "Float"}.get(
            batch_sizes.dtype, str(batch_sizes.dtype).removeprefix("torch.").capitalize()
        )
        raise RuntimeError(f"expected scalar type Long but found {name}")
    if batch_sizes.dim() != 1 or not len(batch_sizes):
        raise IndexError(
            "index 0 is out of bounds for dimension 0 with size 0"
            if batch_sizes.dim() == 1
            else f"batch_sizes must have 1 dimension, got {batch_sizes.dim()}"
        )
    sizes = tuple(batch_sizes.tolist())
    start, before = 0, sizes[0]
    for size in sizes:
        if size < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
        if start + size > rows:
            raise RuntimeError(
                f"start ({start}) + length ({size}) exceeds dimension size ({rows})."
            )
        if size > before:
            raise RuntimeError(
                f"The size of tensor a ({before}) must match the size of tensor b ({size}) "
                "at non-singleton dimension 0"
            )
        start, before = start + size, size
    return sizes


def check_devices(input: Tensor, state: Iterable[Tensor], parameters: Iterable[Tensor]) -> None:
    """Raise RuntimeError unless all are on the device of the input."""
    device = input.device
    for kind, tensors in (("hidden", state), ("parameter", parameters)):
        for tensor in tensors:
            if tensor.device != device:
                raise RuntimeError(
                    f"Input and {kind} tensors are not at the same device, found input tensor at "
                    f"{device} and {kind} tensor at {tensor.device}"
                )


def check_time(time: int) -> None:
    """Raise RuntimeError if the sequence has no time step."""
    if time == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")


def check_cell_call(
    name: str, input_size: int, state_sizes: tuple[int, ...], input: Tensor, hx: Any
) -> None:
    """Validate the arguments of a call of a cell as torch.nn.RNNCell, GRUCell and LSTMCell do.

    Args:
        name: class name of the cell.
        input_size: number of features that the cell expects.
        state_sizes: size of each part of the state.
        input, hx: the arguments of the call.

    Raises:
        ValueError: the input or a part of the state is neither 1-D nor 2-D.
        RuntimeError: any other wrong shape, or a wrong number of parts.
    """
    shape = input.shape
    fits = len(shape) in (1, 2) and shape[-1] == input_size
    if fits and (hx is None or _have_sizes(hx, shape[:-1], state_sizes)):
        return
    # Something is wrong: the first of torch.nn's checks that fails raises.
    if input.dim() not in (1, 2):
        raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
    c_name = f"{name.removesuffix('Cell').lower()}_cell"
    state = () if hx is None else check_state_parts(c_name, hx, len(state_sizes))
    for index, part in enumerate(state):
        if part.dim() not in (1, 2):
            which = "hidden" if len(state_sizes) == 1 else f"hx[{index}]"
            raise ValueError(f"{name}: Expected {which} to be 1D or 2D, got {part.dim()}D instead")
    if input.size(-1) != input_size:
        raise RuntimeError(
            f"input has inconsistent input_size: got {input.size(-1)} expected {input_size}"
        )
    if state:
        for index, (part, size) in enumerate(zip(state, state_sizes, strict=True)):
            _check_cell_state(f"hidden{index}", part, size, input)


def _have_sizes(hx: Any, batch: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether the parts of a cell's state have the shapes (batch..., size)."""
    state = (hx,) if len(sizes) == 1 else hx
    if not isinstance(state, tuple | list) or len(state) != len(sizes):
        return False
    for part, size in zip(state, sizes, strict=True):
        if not isinstance(part, Tensor) or part.shape != (*batch, size):
            return False
    return True


def _check_cell_state(name: str, part: Tensor, size: int, input: Tensor) -> None:
    if part.dim() != input.dim():
        # torch.nn first adds a batch dimension to unbatched input and state, and counts it.
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


def check_checkpoint_every(every: int | None) -> None:
    """Validate ``checkpoint_every``.

    Raises:
        TypeError, ValueError: it is neither None nor a positive int.
    """
    if every is None:
        return
    if not isinstance(every, int) or isinstance(every, bool):
        raise TypeError(
            f"checkpoint_every should be of type int or None, got: {type(every).__name__}"
        )
    if every <= 0:
        raise ValueError(f"checkpoint_every must be greater than zero, got: {every}")


def check_reset(reset: Tensor, input: Tensor | PackedSequence) -> None:
    """Validate ``reset``, given the input of the layer.

    Raises:
        TypeError: ``reset`` is not a bool tensor.
        ValueError: its shape does not fit, or the input is packed.
    """
    if isinstance(input, PackedSequence):
        raise ValueError(
            "reset: the input is packed; pack the parts as separate sequences, without reset"
        )
    if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
        found = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise TypeError(f"reset should be a tensor of dtype torch.bool, got: {found}")
    if reset.shape != input.shape[:-1]:
        raise ValueError(
            f"reset: expected shape {tuple(input.shape[:-1])}, that of the input without its last "
            f"dimension, got {tuple(reset.shape)}"
        )
