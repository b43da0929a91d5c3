"""When a fast backend computes exactly what the reference loop computes.

Every function checks one group of conditions and returns None if all of them hold, else the first
that does not, as a phrase for a message. The conditions are a whitelist: whatever is not recognized
counts as a problem, and the reference loop runs.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _disable_current_modes

from scratch_cells.backends.cell_kernel import (
    GRU_LAYOUT,
    LSTM_LAYOUT,
    PROJECTED_LSTM_LAYOUT,
    RNN_LAYOUT,
    CellLayout,
)
from scratch_cells.backends.modifications import modification
from scratch_cells.backends.tensor_forms import Forms, add_form
from scratch_cells.cell import Cell, parts
from scratch_cells.gru import GRUCell
from scratch_cells.linears import parameter, submodule
from scratch_cells.lstm import LSTMCell, ProjectedLSTMCell
from scratch_cells.rnn import RNNCell
from shared_interface import State

LAYOUTS = {
    "rnn_tanh": RNN_LAYOUT,
    "rnn_relu": RNN_LAYOUT,
    "gru": GRU_LAYOUT,
    "lstm": LSTM_LAYOUT,
    "lstm_projected": PROJECTED_LSTM_LAYOUT,
}
"""The kinds of cells that have kernels."""

NAMES = (
    "the input",
    "input_to_hidden.weight",
    "hidden_to_hidden.weight",
    "input_to_hidden.bias",
    "hidden_to_hidden.bias",
    "the hidden state",
    "the cell state",
    "hidden_to_projection.weight",
)
"""The operands by name, in their order. Only some cells have the last two."""

Operands = list[Tensor | None]


def batch_sizes_problem(batch_sizes: tuple[int, ...]) -> str | None:
    """Batch sizes that are not those of sequences sorted by length."""
    if not batch_sizes or batch_sizes[-1] < 1:
        return "a time step of the packed sequences has no sequence"
    if any(size > before for before, size in pairwise(batch_sizes)):
        return "the batch sizes of the packed sequences increase"
    return None


KINDS: dict[type, str] = {
    GRUCell: "gru",
    LSTMCell: "lstm",
    ProjectedLSTMCell: "lstm_projected",
}


def kind_of(cell: Cell) -> str | None:
    """The kind of a cell of exactly one of this package's classes, else None."""
    if type(cell) is RNNCell:
        kind = f"rnn_{cell.nonlinearity}"
        return kind if kind in LAYOUTS else None
    return KINDS.get(type(cell))


def operands_of(cell: Cell, input: Tensor, state: State | None) -> Operands:
    """x, W_ih, W_hh, b_ih, b_hh, the parts of the state and, with a projection, W_hr.

    A part of the state is None if it is zeros.
    """
    of_input, of_hidden = submodule(cell, "input_to_hidden"), submodule(cell, "hidden_to_hidden")
    operands = [
        input,
        *(parameter(of_input, "weight"), parameter(of_hidden, "weight")),
        *(parameter(of_input, "bias"), parameter(of_hidden, "bias")),
        *([None] * len(cell.state_names) if state is None else parts(state)),
    ]
    if type(cell) is ProjectedLSTMCell:
        operands.append(parameter(submodule(cell, "hidden_to_projection"), "weight"))
    return operands


def cell_problem(cell: Cell, kind: str | None) -> str | None:
    """What makes the reference loop run something else than the equations of this kind."""
    if kind is None:
        if type(cell) is RNNCell:
            return f"there is no kernel for nonlinearity {cell.nonlinearity!r}"
        return f"there is no kernel for {type(cell).__name__}"
    return modification(cell)


def context_problem() -> str | None:
    """A mode, transform or tracer that is to see every operation."""
    if torch.compiler.is_compiling():
        return "torch.compile or torch.export is tracing"
    if torch_module._has_any_global_hook():
        return "a global module hook is registered"
    if torch._C._get_tracing_state():
        return "torch.jit.trace is tracing"
    if torch._C._are_functorch_transforms_active():
        return "a torch.func transform is active"
    if problem := forward_ad_problem():
        return problem
    if torch._C._len_torch_dispatch_stack():
        return "a torch dispatch mode is active"
    for index in range(torch._C._len_torch_function_stack()):
        # Only the mode of torch.set_default_device changes nothing for tensors that exist.
        if type(torch._C._get_function_stack_at(index)) is not DeviceContext:
            return "a torch function mode is active"
    return None


def forward_ad_problem() -> str | None:
    """Forward-mode automatic differentiation, for which no kernel has a formula."""
    if forward_ad._current_level >= 0:
        return "forward-mode automatic differentiation is active"
    return None


def autocast_is_on(tensor: Any) -> bool:
    """Whether autocast is on for the device of the tensor. Not every device has it."""
    if not torch._C._is_any_autocast_enabled():
        return False
    device = tensor.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


AUTOCAST_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""The dtypes that autocast casts."""


def operand_problem(
    kind: str,
    operands: Operands,
    batch_sizes: tuple[int, ...] | None = None,
    autocast: torch.dtype | None = None,
) -> str | None:
    """An operand that is not a plain tensor, or not of the common device, dtype and size.

    With ``autocast``, its dtype, the operands may be of any dtypes that it casts.
    """
    input, w_ih, w_hh, *_ = operands
    assert input is not None
    if w_ih is None or w_hh is None or (operands[-1] is None and LAYOUTS[kind].has_projection):
        return "a weight is None"
    if type(input) not in PLAIN_TYPES or type(w_hh) not in PLAIN_TYPES:
        return _operand_problem_in_detail(kind, operands, batch_sizes, autocast)
    present = [tensor for tensor in operands if tensor is not None]
    # ``of_call`` and the form of the tensors determine all that is checked.
    of_call = kind, batch_sizes, autocast, tuple(map(type, operands))
    key = of_call, input.shape, w_hh.shape, input.dtype, input.requires_grad
    form = OPERAND_FORMS.get(key)
    if form is not None and form.matches(present):
        return None
    problem = _operand_problem_in_detail(kind, operands, batch_sizes, autocast)
    if problem is None:
        add_form(OPERAND_FORMS, key, present)
    return problem


OPERAND_FORMS: Forms = {}
"""The forms of operands without a problem."""


def _operand_problem_in_detail(
    kind: str,
    operands: Operands,
    batch_sizes: tuple[int, ...] | None,
    autocast: torch.dtype | None,
) -> str | None:
    for name, tensor in zip(NAMES, operands, strict=False):
        if tensor is not None and not is_plain_tensor(tensor):
            return f"{name} is {_description(tensor)}, not a plain tensor"
    input, _, w_hh, *_ = operands
    assert input is not None
    assert w_hh is not None
    device, dtype = input.device, input.dtype
    if device.type not in ("cpu", "cuda"):
        return f"the input is on device {device}"
    shapes = _expected_shapes(LAYOUTS[kind], input, w_hh, batch_sizes)
    if len(operands) != len(shapes):
        return f"the state has {len(operands) - 5} parts"
    for name, tensor, shape in zip(NAMES, operands, shapes, strict=False):
        if tensor is None:
            continue
        if tensor.device != device:
            return f"{name} is on device {tensor.device}, the input on {device}"
        if autocast is not None and tensor.dtype not in AUTOCAST_DTYPES:
            return f"autocast is on, and {name} is {tensor.dtype}, which it does not cast"
        if autocast is None and tensor.dtype is not dtype:
            return f"{name} is {tensor.dtype}, the input {dtype}"
        if tensor.shape != shape:
            return f"{name} has shape {tuple(tensor.shape)}, not {shape}"
    return None if len(input) else "the sequence has no time step"


def _expected_shapes(
    layout: CellLayout, input: Tensor, w_hh: Tensor, batch_sizes: tuple[int, ...] | None
) -> Sequence[tuple[int, ...]]:
    """The shapes of the operands that follow from x and the columns of W_hh."""
    input_shape, w_hh_shape = input.shape, w_hh.shape
    if batch_sizes is not None:
        batch, input_size = batch_sizes[0], input_shape[-1] if input_shape else 0
        lead: tuple[int, ...] = (sum(batch_sizes),)
    else:
        time, batch, input_size = input_shape if len(input_shape) == 3 else (0, 0, 0)
        lead = (time, batch)
    rows, output_size = w_hh_shape if len(w_hh_shape) == 2 else (0, 0)
    hidden_size = rows // layout.gate_count if layout.has_projection else output_size
    rows = layout.gate_count * hidden_size
    return (
        (*lead, input_size),
        (rows, input_size),
        (rows, output_size),
        (rows,),
        (rows,),
        (batch, output_size),
        *([(batch, hidden_size)] if layout.has_cell_state else []),
        *([(output_size, hidden_size)] if layout.has_projection else []),
    )


PLAIN_TYPES = (Tensor, nn.Parameter)


keys_of: Callable[[Tensor], Any] = torch._C._dispatch_keys
"""By what torch selects the implementation of an operation: one bit each for device, layout,
laziness, fake tensors and transforms."""


def _keys_of_plain_cpu_tensors() -> frozenset[int]:
    keys: set[int] = set()
    for inference in (False, True):
        with _disable_current_modes(), torch.inference_mode(inference):
            keys.add(keys_of(torch.empty(0, device="cpu")).raw_repr())
    return frozenset(keys)


PLAIN_CPU_KEYS = _keys_of_plain_cpu_tensors()


def is_plain_cpu_tensor(tensor: Tensor, shape: Sequence[int], dtype: torch.dtype) -> bool:
    """Whether it is a plain tensor on the CPU of this shape and dtype: one test for many."""
    return (
        type(tensor) in PLAIN_TYPES
        and tensor.dtype is dtype
        and tensor.shape == shape
        and keys_of(tensor).raw_repr() in PLAIN_CPU_KEYS
        and (
            # the usual case of _fits_its_storage, without its call
            (
                tensor.nbytes <= tensor.untyped_storage().nbytes()
                and not tensor.storage_offset()
                and tensor.is_contiguous()
            )
            or _fits_its_storage(tensor)
        )
    )


def is_plain_tensor(tensor: Tensor) -> bool:
    """Whether the elements are in memory as the tensor's shape, strides and dtype describe."""
    return (
        type(tensor) in PLAIN_TYPES
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_neg()
        and not tensor._is_zerotensor()  # lazy conjugation is only for complex dtypes
        and (tensor.device.type != "cpu" or keys_of(tensor).raw_repr() in PLAIN_CPU_KEYS)
        and _fits_its_storage(tensor)
    )


def _fits_its_storage(tensor: Tensor) -> bool:
    """Whether all elements are in the storage, which may have been resized since."""
    available = tensor.untyped_storage().nbytes()
    offset = tensor.storage_offset()
    if tensor.is_contiguous():
        size = tensor.nbytes
        return bool((offset * tensor.itemsize if offset else 0) + size <= available) or not size
    sizes_and_strides = zip(tensor.shape, tensor.stride(), strict=True)
    last = offset + sum((size - 1) * stride for size, stride in sizes_and_strides)
    return bool((last + 1) * tensor.itemsize <= available) or not tensor.numel()


def _description(tensor: Tensor) -> str:
    if type(tensor) is not Tensor and type(tensor) is not nn.Parameter:
        return f"a {type(tensor).__name__}"
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return f"of layout {tensor.layout}"
    if tensor.is_neg():
        return "a lazily negated view"
    if tensor._is_zerotensor():
        return "a zero tensor without memory"
    return "of an unknown kind" if _fits_its_storage(tensor) else "larger than its storage"
