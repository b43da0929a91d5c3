"""When a fast backend computes exactly what the reference loop computes.

Every function checks one group of conditions and returns None if all of them hold, else the first
that does not, as a phrase for a message. The conditions are a whitelist: whatever is not recognized
counts as a problem, and the reference loop runs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext

from scratch_cells.backends.cell_kernel import GRU_LAYOUT, LSTM_LAYOUT, RNN_LAYOUT, CellLayout
from scratch_cells.cell import Cell, parts
from scratch_cells.gru import GRUCell
from scratch_cells.lstm import LSTMCell
from scratch_cells.rnn import RNNCell
from shared_interface import State

METHODS = ("__call__", "_call_impl", "forward", "project", "gates", "update", "step")
"""The methods that a step of a cell or a call of an ``nn.Linear`` may run."""

ORIGINALS: dict[type[nn.Module], list[tuple[str, Any]]] = {
    cls: [(name, getattr(cls, name)) for name in METHODS if hasattr(cls, name)]
    for cls in (RNNCell, GRUCell, LSTMCell, nn.Linear)
}
"""The methods of each class as they were defined, to detect patches."""

INSTANCE_PATCHES = frozenset((*METHODS, "_compiled_call_impl"))
"""Attributes of an instance that replace a method, or that ``Module.compile`` sets."""

HOOKS = {
    "_forward_pre_hooks": "forward pre-hook",
    "_forward_hooks": "forward hook",
    "_backward_pre_hooks": "backward pre-hook",
    "_backward_hooks": "backward hook",
}
"""The dictionary in which a module keeps a kind of hooks -> its name."""

LAYOUTS = {
    "rnn_tanh": RNN_LAYOUT,
    "rnn_relu": RNN_LAYOUT,
    "gru": GRU_LAYOUT,
    "lstm": LSTM_LAYOUT,
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
)
"""The operands by name, in their order."""

Operands = list[Tensor | None]


def kind_of(cell: Cell) -> str | None:
    """The kind of a cell of exactly one of this package's classes, else None."""
    if type(cell) is RNNCell:
        kind = f"rnn_{cell.nonlinearity}"
        return kind if kind in LAYOUTS else None
    return {GRUCell: "gru", LSTMCell: "lstm"}.get(type(cell))


def operands_of(cell: Cell, input: Tensor, state: State) -> Operands:
    """x, W_ih, W_hh, b_ih, b_hh and the parts of the state."""
    x_to_h, h_to_h = cell.input_to_hidden, cell.hidden_to_hidden
    return [input, x_to_h.weight, h_to_h.weight, x_to_h.bias, h_to_h.bias, *parts(state)]


def cell_problem(cell: Cell, kind: str | None) -> str | None:
    """What makes the reference loop run something else than the equations of this kind."""
    if kind is None:
        if type(cell) is RNNCell:
            return f"there is no kernel for nonlinearity {cell.nonlinearity!r}"
        return f"there is no kernel for {type(cell).__name__}"
    for name in ("input_to_hidden", "hidden_to_hidden"):
        linear = getattr(cell, name)
        if type(linear) is not nn.Linear:  # a parametrization also makes it another class
            return f"{name} is a {type(linear).__name__}, not exactly an nn.Linear"
        if problem := _module_problem(linear, name):
            return problem
    return _module_problem(cell, "the cell")


def _module_problem(module: nn.Module, name: str) -> str | None:
    """A method that is replaced on the module or its class, or a hook on the module."""
    attributes = vars(module)
    if not INSTANCE_PATCHES.isdisjoint(attributes):
        (method, *_) = sorted(INSTANCE_PATCHES & attributes.keys())
        return f"{method} of {name} is replaced"
    cls = type(module)
    for method, original in ORIGINALS[cls]:
        if getattr(cls, method) is not original:
            return f"{method} of {cls.__name__} is replaced"
    for hooks, kind in HOOKS.items():
        if attributes[hooks]:
            return f"a {kind} is registered on {name}"
    return None


def context_problem() -> str | None:
    """A mode, transform or tracer that is to see every operation."""
    if torch_module._has_any_global_hook():
        return "a global module hook is registered"
    if torch.compiler.is_compiling():
        return "torch.compile or torch.export is tracing"
    if torch._C._get_tracing_state():
        return "torch.jit.trace is tracing"
    if torch._C._are_functorch_transforms_active():
        return "a torch.func transform is active"
    if forward_ad._current_level >= 0:
        return "forward-mode automatic differentiation is active"
    if torch._C._len_torch_dispatch_stack():
        return "a torch dispatch mode is active"
    for index in range(torch._C._len_torch_function_stack()):
        # Only the mode of torch.set_default_device changes nothing for tensors that exist.
        if type(torch._C._get_function_stack_at(index)) is not DeviceContext:
            return "a torch function mode is active"
    return None


def autocast_is_on(tensor: Any) -> bool:
    """Whether autocast is on for the device of the tensor. Not every device has it."""
    device = tensor.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def operand_problem(kind: str, operands: Operands) -> str | None:
    """An operand that is not a plain tensor, or not of the common device, dtype and size."""
    for name, tensor in zip(NAMES, operands, strict=False):
        if tensor is not None and not is_plain_tensor(tensor):
            return f"{name} is {_description(tensor)}, not a plain tensor"
    input, _, w_hh, *_ = operands
    assert input is not None
    assert w_hh is not None
    for name, tensor in zip(NAMES, operands, strict=False):
        if tensor is not None and tensor.device != input.device:
            return f"{name} is on {tensor.device}, the input on {input.device}"
        if tensor is not None and tensor.dtype != input.dtype:
            return f"{name} is {tensor.dtype}, the input {input.dtype}"
    shapes = _expected_shapes(LAYOUTS[kind], input, w_hh)
    if len(operands) != len(shapes):
        return f"the state has {len(operands) - 5} parts"
    for name, tensor, shape in zip(NAMES, operands, shapes, strict=False):
        if tensor is not None and tensor.shape != shape:
            return f"{name} has shape {tuple(tensor.shape)}, not {shape}"
    return None


def _expected_shapes(layout: CellLayout, input: Tensor, w_hh: Tensor) -> Sequence[tuple[int, ...]]:
    """The shapes of the operands that follow from x and the columns of W_hh."""
    time, batch, input_size = input.shape if input.dim() == 3 else (0, 0, 0)
    hidden_size = w_hh.size(-1) if w_hh.dim() == 2 else 0
    rows = layout.gate_count * hidden_size
    state = (batch, hidden_size)
    return (
        (time, batch, input_size),
        (rows, input_size),
        (rows, hidden_size),
        (rows,),
        (rows,),
        state,
        *([state] if layout.has_cell_state else []),
    )


def is_plain_tensor(tensor: Tensor) -> bool:
    """Whether the elements are in memory as the tensor's shape, strides and dtype describe."""
    return (
        (type(tensor) is Tensor or type(tensor) is nn.Parameter)
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_neg()
        and not tensor.is_conj()
        and not tensor._is_zerotensor()
        and tensor.device.type in ("cpu", "cuda")
    )


def _description(tensor: Tensor) -> str:
    if type(tensor) is not Tensor and type(tensor) is not nn.Parameter:
        return f"a {type(tensor).__name__}"
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "nested" if tensor.is_nested else f"of layout {tensor.layout}"
    for is_lazy, description in (
        (tensor.is_neg(), "a lazily negated view"),
        (tensor.is_conj(), "a lazily conjugated view"),
        (tensor._is_zerotensor(), "a zero tensor without memory"),
    ):
        if is_lazy:
            return description
    return f"on device {tensor.device}"
