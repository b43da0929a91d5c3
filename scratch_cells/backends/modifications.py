"""Which cells are exactly as this package and torch define them.

A patched method, a hook, a hidden part or a replaced function of torch changes what the reference
loop computes, so it is looked for in every call.
"""

from collections.abc import Callable
from operator import attrgetter, contains, itemgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scratch_cells.cell import Cell
from scratch_cells.gru import GRUCell
from scratch_cells.linears import submodule
from scratch_cells.lstm import LSTMCell, ProjectedLSTMCell
from scratch_cells.rnn import RNNCell

CELL_CLASSES = (RNNCell, GRUCell, LSTMCell, ProjectedLSTMCell)
"""This package's classes of cells."""

NOT_RUN = (
    "__init__",
    "make_weights",
    "reset_parameters",
    "torch_names",
    "extra_repr",
    "bias",
    "computing_with_own_values",
)
"""What a class of cells defines, but no step of it runs."""

METHODS = {
    "__call__",
    "_call_impl",
    "_wrapped_call_impl",
    "forward",
    *(
        name
        for cls in (Cell, *CELL_CLASSES)
        for name, value in vars(cls).items()
        if name not in NOT_RUN and (callable(value) or not name.startswith("_"))
    ),
}
"""The attributes of a class that a step of a cell or a call of an ``nn.Linear`` may use."""

PARTS: dict[type, tuple[str, ...]] = {
    nn.Linear: ("weight", "bias"),
    **dict.fromkeys(list[type](CELL_CLASSES), ("input_to_hidden", "hidden_to_hidden")),
    ProjectedLSTMCell: ("input_to_hidden", "hidden_to_hidden", "hidden_to_projection"),
}
"""Submodules and parameters. An attribute of the class or the instance would hide them."""

METHODS_OF: dict[type, list[str]] = {
    cls: sorted(
        name
        for name in METHODS | {"__getattr__", "__getattribute__", "__mro__"}
        if hasattr(cls, name)
    )
    for cls in (*CELL_CLASSES, nn.Linear)
}

GETTERS: dict[type, Callable[[type], Any]] = {
    cls: attrgetter(*names) for cls, names in METHODS_OF.items()
}
"""A function that returns all of these methods of a class."""

ORIGINALS: dict[type, Any] = {cls: getter(cls) for cls, getter in GETTERS.items()}
"""The methods of each class as they were defined, to detect patches."""

INSTANCE_PATCHES: dict[type, tuple[str, ...]] = {
    cls: (*methods, "_compiled_call_impl") for cls, methods in METHODS_OF.items()
}
"""Attributes of an instance that replace a method. ``Module.compile`` sets the last one."""

NOT_OF_AN_INSTANCE: dict[type, frozenset[str]] = {
    cls: frozenset(patches).union(PARTS[cls]) for cls, patches in INSTANCE_PATCHES.items()
}
"""Names that no attribute of an instance has, if nothing of it is replaced or hidden."""

FUNCTIONS: list[tuple[str, Any, tuple[str, ...]]] = [
    ("torch", torch, ("tanh", "sigmoid", "relu", "stack")),
    ("torch.nn.functional", F, ("linear", "relu")),
    ("torch.Tensor", Tensor, ("__add__", "__mul__", "__rsub__", "chunk", "unbind")),
]
"""The functions of torch that the reference loop calls."""

FUNCTION_GETTERS = [(owner, attrgetter(*names)) for _, owner, names in FUNCTIONS]
ORIGINAL_FUNCTIONS = [getter(owner) for owner, getter in FUNCTION_GETTERS]

BASES: dict[type, tuple[type, ...]] = {
    **{cls: (nn.Linear, cls) for cls in CELL_CLASSES},
    ProjectedLSTMCell: (nn.Linear, ProjectedLSTMCell, LSTMCell),
}
"""The classes whose methods a cell of this class runs."""

USED: dict[type, list[tuple[Any, Callable[[Any], Any], Any]]] = {
    cls: [
        *((base, GETTERS[base], ORIGINALS[base]) for base in bases),
        *((*each, found) for each, found in zip(FUNCTION_GETTERS, ORIGINAL_FUNCTIONS, strict=True)),
    ]
    for cls, bases in BASES.items()
}
"""What a cell of this class runs: an owner, a function that returns all of its methods or functions
that are used, and what it returned when this package was imported."""

HIDDEN: dict[type, Any] = {
    cls: [
        [vars(each) for base in bases for each in base.__mro__[:-1] for _ in PARTS[base]],
        [part for base in bases for _ in base.__mro__[:-1] for part in PARTS[base]],
    ]
    for cls, bases in BASES.items()
}
"""The attributes of classes, which are views, and names that would hide a part if among them."""

NOT_OF_A_LINEAR = NOT_OF_AN_INSTANCE[nn.Linear]

HOOKS = {
    "_forward_pre_hooks": "forward pre-hook",
    "_forward_hooks": "forward hook",
    "_backward_pre_hooks": "backward pre-hook",
    "_backward_hooks": "backward hook",
}
"""The attribute of a module that holds its hooks of one kind -> the name of the kind."""

HOOKS_OF = itemgetter(*HOOKS)
"""A function that returns all hooks of a module from its attributes."""


def modification(cell: Cell) -> str | None:
    """What is not as this package or torch defined it, in a cell of one of CELL_CLASSES."""
    cls = type(cell)
    attributes = vars(cell)
    as_defined = not any(HOOKS_OF(attributes)) and NOT_OF_AN_INSTANCE[cls].isdisjoint(attributes)
    if not as_defined and (problem := _instance_problem(cls, attributes, "the cell")):
        return problem
    for name in PARTS[cls]:
        linear = submodule(cell, name)
        if type(linear) is not nn.Linear:  # a parametrization also makes it another class
            return f"{name} is a {type(linear).__name__}, not exactly an nn.Linear"
        attributes = vars(linear)
        as_defined = not any(HOOKS_OF(attributes)) and NOT_OF_A_LINEAR.isdisjoint(attributes)
        if not as_defined and (problem := _instance_problem(nn.Linear, attributes, name)):
            return problem
    for owner, getter, originals in USED[cls]:
        found = getter(owner)
        if found != originals and (problem := _replacement(owner, found, originals)):
            return problem
    if any(map(contains, *HIDDEN[cls])):
        part = next(part for cls, part in zip(*HIDDEN[cls], strict=True) if part in cls)
        return f"a class attribute hides {part}"
    if cls is ProjectedLSTMCell and cell.hidden_to_projection.bias is not None:
        return "hidden_to_projection has a bias"
    return None


def _instance_problem(cls: type, attributes: dict[str, Any], name: str) -> str | None:
    """An attribute of a module that replaces a method or hides a part, or a hook on the module."""
    for method in INSTANCE_PATCHES[cls]:
        if method in attributes:
            compiled = method == "_compiled_call_impl"
            return f"{name} is compiled" if compiled else f"{method} of {name} is replaced"
    for part in PARTS[cls]:
        hidden = part in attributes["_parameters"] or part in attributes["_modules"]
        if part in attributes and hidden:
            return f"an attribute hides {part} of {name}"
    kind = next((kind for hooks, kind in HOOKS.items() if attributes[hooks]), None)
    return None if kind is None else f"a {kind} is registered on {name}"


def _replacement(owner: Any, found: Any, originals: Any) -> str | None:
    """The first method of a class or function of torch that is replaced."""
    if owner not in METHODS_OF:
        name = next(name for name, value, _ in FUNCTIONS if value is owner)
        return f"a function of {name} is replaced"
    for method, now, original in zip(METHODS_OF[owner], found, originals, strict=True):
        if now != original and not _is_replaced_by_export(method, now):
            return f"{method} of {owner.__name__} is replaced"
    return None


def _is_replaced_by_export(method: str, now: Any) -> bool:
    """Whether ``torch.export`` has replaced a method of all modules, to record what is used."""
    return (
        method in ("__call__", "__getattr__")
        and torch.compiler.is_exporting()
        and str(getattr(now, "__module__", "")).startswith("torch.")
    )
