"""Calls that torch records as a program: by ``torch.compile``, ``torch.export`` or ``jit.trace``.

A recorded program runs later with other inputs. Whatever Python decides during the call, such as
the number of iterations of a loop, is a constant of the program.
"""

import warnings
from typing import Any

import torch
from torch.jit._trace import TracerWarning


def is_traced() -> bool:
    """Whether ``torch.jit.trace`` records the operations."""
    return torch._C._get_tracing_state() is not None


def is_recorded() -> bool:
    """Whether torch records the operations: ``torch.compile``, ``export`` or ``jit.trace``."""
    return torch.compiler.is_compiling() or is_traced()


def is_exported() -> bool:
    """Whether torch records a program that is kept: by ``torch.export`` or ``jit.trace``."""
    return torch.compiler.is_exporting() or is_traced()


def warn_if_traced(what: str) -> None:
    """Warn if ``torch.jit.trace`` records a loop, and with it the number of time steps.

    Args:
        what: what the loop computes, such as ``GRUCell by the reference loop``.

    Warns:
        torch.jit.TracerWarning: it does.
    """
    if is_traced():
        warnings.warn(
            f"torch.jit.trace records every time step of {what}: the traced module accepts "
            "sequences of this length only. RNN, GRU and LSTM accept any length if they are traced "
            'in float32 or float64, with backend="auto" and without reset',
            TracerWarning,
            stacklevel=2,
        )


def check_packed_is_not_recorded(name: str) -> None:
    """Raise if a program is recorded whose lengths would be those of this packed input.

    Args:
        name: class name of the layer.

    Raises:
        RuntimeError: ``torch.export`` or ``torch.jit.trace`` records the operations.
    """
    if is_exported():
        raise RuntimeError(
            f"{name}: torch.export and torch.jit.trace cannot record packed input, because its "
            "lengths would become constants; record the layer with padded input"
        )


def check_not_symbolic(name: str, input: Any) -> None:
    """Raise if ``torch.fx.symbolic_trace`` calls the layer with a symbol in the place of a tensor.

    Raises:
        TypeError: it does.
    """
    if isinstance(input, torch.fx.Proxy):
        raise TypeError(
            f"{name}: torch.fx.symbolic_trace cannot record a layer whose operations depend on the "
            "input; use torch.export, or a torch.fx.Tracer whose is_leaf_module returns True for it"
        )
