"""The dtypes of a call with factors of 16 bits: 16-bit weights, or autocast.

The reference loop rounds the result of every operation to 16 bits. A kernel rounds only what it
multiplies and what it returns: x, h and the weights are of 16 bits, and sums, gates and states are
float32. So its result is closer to the exact one.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

HALF = (torch.bfloat16, torch.float16)
"""The dtypes of 16 bits."""


@dataclass(frozen=True)
class Precision:
    """The dtypes of a call by one kernel.

    Attributes:
        rounded: the dtype to which x, h, the weights and the biases are rounded: their own one, or
            that of autocast.
        factors: the dtype in which the kernel reads x and the weights and writes the gradients of
            the pre-activations. It is float32 where the processor cannot multiply ``rounded``.
        sums: the dtype of everything else, from the biases to the gradients of the weights.
    """

    rounded: torch.dtype
    factors: torch.dtype
    sums: torch.dtype = torch.float32

    def factor(self, tensor: Tensor) -> Tensor:
        """x or a weight, as the kernel reads it."""
        return tensor.to(self.rounded).to(self.factors)

    def sum(self, tensor: Tensor | None) -> Tensor | None:
        """A part of the state, or a gradient of what was returned, as the kernel reads it."""
        return None if tensor is None else tensor.to(self.sums)

    def operands(self, operands: Sequence[Tensor | None]) -> list[Tensor | None]:
        """x, W_ih, W_hh, b_ih, b_hh and the parts of the state, as the kernel reads them."""
        factors = [self.factor(each) for each in operands[:3] if each is not None]
        biases = [None if each is None else each.to(self.rounded) for each in operands[3:5]]
        return [*factors, *map(self.sum, (*biases, *operands[5:]))]

    def returned(self, gates_are_states: bool, state: Sequence[Tensor | None]) -> torch.dtype:
        """The dtype of the outputs and of the final state in the reference loop.

        A cell computes its new state from the gates, which are ``rounded``, and from the last part
        of the state before, which under autocast may be of another dtype.

        Args:
            gates_are_states: see ``CellLayout``.
            state: the parts of the initial state; None for zeros of ``rounded``.
        """
        dtype = self.rounded if state[-1] is None else state[-1].dtype
        same = gates_are_states or dtype is self.rounded
        return self.rounded if same else torch.promote_types(self.rounded, dtype)


def without_autocast(precision: Precision | None) -> Any:
    """Autocast off for the operations around a kernel: ``torch.cat`` is not for all its dtypes."""
    if precision is None or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    return torch.autocast("cpu", enabled=False)
