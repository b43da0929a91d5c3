"""A method such as ``init_hidden(batch_size)`` that must be called before a module.

It keeps the initial state as an attribute and returns nothing. The module's ``forward`` is wrapped,
so that every call starts from that state, as a call of torch.nn's without a state does.
"""

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from cell_verifier.reference.probes import BATCH

METHODS = (
    "init_hidden",
    "init_hidden_state",
    "init_hidden_states",
    "init_state",
    "init_states",
    "initialize_hidden",
    "initialize_state",
    "reset_hidden",
    "reset_hidden_state",
    "reset_state",
    "reset_states",
    "initHidden",
    "initState",
    "resetState",
)

MARK = "_called_before_forward"
"""The attribute of a wrapped ``forward`` that holds the call in words."""


def with_initial_call(module: nn.Module) -> nn.Module:
    """The module, with the first method that sets an attribute which it lacks before each call."""
    for name in METHODS:
        method = getattr(module, name, None)
        if callable(method) and _sets_new_attribute(module, method):
            words = f"{name}({'batch_size' if _takes_size(method) else ''})"
            module.forward = _wrapped(module.forward, method, words)
            return module
    return module


def initial_call_of(module: nn.Module) -> str:
    """The call that is made before each call of the module, in words, or ""."""
    words: str = getattr(module.forward, MARK, "")
    return words


def _takes_size(method: Callable[..., Any]) -> bool:
    return len(inspect.signature(method).parameters) > 0


def _sets_new_attribute(module: nn.Module, method: Callable[..., Any]) -> bool:
    before = set(vars(module))
    try:
        returned = method(*([BATCH] if _takes_size(method) else []))
    except Exception:  # it takes something else
        return False
    added = set(vars(module)) - before
    for name in added:
        delattr(module, name)
    return returned is None and bool(added)


def _wrapped(
    forward: Callable[..., Any], method: Callable[..., Any], words: str
) -> Callable[..., Any]:
    batch_axes: dict[int, int] = {}  # by the number of axes of x, once it is known

    @functools.wraps(forward)
    def with_call(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not _takes_size(method):
            method()
            return forward(x, *args, **kwargs)
        known = batch_axes.get(x.dim())
        *others, last = (1, 0) if known is None and x.dim() == 3 else (known or 0,)
        for axis in others:
            method(x.size(axis))
            with suppress(RuntimeError):  # the state has another batch size than x
                out = forward(x, *args, **kwargs)
                batch_axes[x.dim()] = axis
                return out
        method(x.size(last))
        out = forward(x, *args, **kwargs)
        batch_axes[x.dim()] = last
        return out

    setattr(with_call, MARK, words)
    return with_call
