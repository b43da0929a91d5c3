"""The Elman network, by hand."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratch_cells.cell import Cell


class RNNCell(Cell):
    """Elman's recurrent cell: the new hidden state is one nonlinear mixture of x and h.

        n  = tanh(W_ih x + b_ih + W_hh h + b_hh)
        h' = n

    With ``nonlinearity="relu"``, ReLU stands in tanh's place. There are no gates: the candidate n
    is taken whole, which is why an RNN forgets so fast and why its gradient vanishes or explodes.

    Args:
        input_size, hidden_size, bias, device, dtype: as in :class:`~scratch_cells.cell.Cell`.
        nonlinearity: ``"tanh"`` or ``"relu"``; looked at when the cell runs, as torch.nn does.

    Raises:
        RuntimeError: from the call, for any other nonlinearity.

    Source: J. L. Elman, Finding Structure in Time, Cognitive Science 14 (1990); the two biases
    are those of torch.nn.RNNCell.
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
