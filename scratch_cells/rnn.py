"""The Elman RNN cell, written by hand.

By default a layer, ``RNN(...)``, computes the same equations with a faster backend.
``RNN(..., backend="plain")`` runs the code below, so a breakpoint in it is reached; so does a call
of ``RNNCell`` itself.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratch_cells.cell import Cell


class RNNCell(Cell):
    """Elman's recurrent cell: h' is a linear function of x and h, passed through a nonlinearity.

        n  = tanh(W_ih x + b_ih + W_hh h + b_hh)
        h' = n

    With ``nonlinearity="relu"``, ReLU replaces tanh. There are no gates: the candidate n becomes
    the new state unchanged. This is why an RNN forgets quickly and why its gradient vanishes or
    explodes over many time steps.

    Args:
        input_size, hidden_size, bias, device, dtype: as in ``Cell``.
        nonlinearity: ``"tanh"`` or ``"relu"``; validated at call time, as in torch.nn.RNNCell.

    Raises:
        RuntimeError: at the call, if ``nonlinearity`` has any other value.

    Source: J. L. Elman, Finding Structure in Time, Cognitive Science 14 (1990). The two biases
    follow torch.nn.RNNCell.
    """

    class Gates(NamedTuple):
        candidate: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        n = projected + self.hidden_to_hidden(h)  # W_ih x + b_ih + W_hh h + b_hh   (B, H)
        return self.Gates(candidate=self.activation(n))

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        (n,) = gates
        return n

    def activation(self, n: Tensor) -> Tensor:
        match self.nonlinearity:
            case "tanh":
                return torch.tanh(n)
            case "relu":
                return torch.relu(n)
            case other:
                raise RuntimeError(f"Unknown nonlinearity: {other}")

    def extra_repr(self) -> str:
        tanh = self.nonlinearity == "tanh"
        return super().extra_repr() + ("" if tanh else f", nonlinearity={self.nonlinearity}")
