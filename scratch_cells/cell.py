"""What a cell is: project the input, open the gates, update the state.

A cell knows one step. ``unroll`` knows time, ``stack`` knows layers and directions.

Letters: T time, B batch, I input_size, H hidden_size, G number of gates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from scratch_cells.parameters import TorchNamed, draw_uniform, linear
from scratch_cells.validation import check_cell_call
from shared_interface import State


class Cell(TorchNamed, ABC):
    """One step of a recurrent network: two ``nn.Linear``s, gates with names, and an update.

    A cell of your own says three things::

        class MinimalGatedCell(Cell):
            class Gates(NamedTuple):  # one field per gate, in the order of the weight rows
                forget: Tensor
                candidate: Tensor

            def gates(self, projected, h): ...  # (B, G*H), (B, H) -> Gates
            def update(self, gates, h): ...     # Gates, (B, H)    -> h'

    and has layers, directions, packed sequences, tracing, training and verification from the same
    code as the cells of this package: ``layer_of(MinimalGatedCell)(input_size, hidden_size, ...)``.
    A cell that carries more than h declares ``state_names`` and takes and gives a tuple.

    Args:
        input_size: features of x at one step.
        hidden_size: units, H.
        bias: whether both ``nn.Linear``s have one.
        device, dtype: where and as what the weights are made.
        output_size: size of h where it is not ``hidden_size``.

    Shape:
        x: (B, I) or (I,). State: (B, H) or (H,) each part, zeros if not given.
    """

    Gates: ClassVar[type[tuple[Tensor, ...]]]
    """A NamedTuple: one field per gate, in the order of the weight rows."""

    state_names: ClassVar[tuple[str, ...]] = ("hidden",)
    """What is carried from step to step; the hidden state first."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        output_size: int | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.output_size = hidden_size if output_size is None else output_size
        self.make_weights(device, dtype)
        self.reset_parameters()

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        """Make the weights, values still to be drawn."""
        rows = len(self.Gates._fields) * self.hidden_size  # type: ignore[attr-defined]
        # W_ih (G*H, I) and b_ih; W_hh (G*H, H) and b_hh
        self.input_to_hidden = linear(self.input_size, rows, self.bias, device, dtype)
        self.hidden_to_hidden = linear(self.output_size, rows, self.bias, device, dtype)

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih, for one step or, hoisted out of the loop, for a whole sequence at once."""
        projected: Tensor = self.input_to_hidden(x)  # (..., I) -> (..., G*H)
        return projected

    @abstractmethod
    def gates(self, projected: Tensor, state: Any) -> Any:
        """The gates of this step, activated: projected input (B, G*H) and state -> Gates."""

    @abstractmethod
    def update(self, gates: Any, state: Any) -> Any:
        """The next state, from the gates and the state before."""

    def step(self, projected: Tensor, state: Any) -> Any:
        """One step on an input that is projected already."""
        return self.update(self.gates(projected, state), state)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """One step: x and the state before -> the state after."""
        check_cell_call(self, input, hx)
        state = self.zero_state(input) if hx is None else hx
        return self.step(self.project(input), state)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The size of each part of the state, h first."""
        return (self.output_size,) + (self.hidden_size,) * (len(self.state_names) - 1)

    def zero_state(self, input: Tensor) -> State:
        """The state before the first step of ``input``, (B, I) or (I,)."""
        return whole([input.new_zeros(*input.shape[:-1], size) for size in self.state_sizes])

    def torch_names(self) -> dict[str, str]:
        return {
            "weight_ih": "input_to_hidden.weight",
            "weight_hh": "hidden_to_hidden.weight",
            "bias_ih": "input_to_hidden.bias",
            "bias_hh": "hidden_to_hidden.bias",
        }

    def reset_parameters(self) -> None:
        """Draw every weight anew, in torch.nn's order, so that a seed gives torch.nn's values."""
        for _, weight in self.named_weights():
            draw_uniform(weight, self.hidden_size)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


# A state is h alone, or a tuple whose first part is h. These four let the loops treat both alike.


def parts(state: State) -> tuple[Tensor, ...]:
    """The parts of a state, h first."""
    return tuple(state) if isinstance(state, tuple | list) else (state,)


def whole(state_parts: tuple[Tensor, ...] | list[Tensor]) -> State:
    """The state that has these parts: h itself where there is only h."""
    return state_parts[0] if len(state_parts) == 1 else tuple(state_parts)


def hidden(state: State) -> Tensor:
    """h, whatever else the state carries."""
    return state[0] if isinstance(state, tuple) else state


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply ``function`` to the same part of each state, part by part."""
    return whole([function(*same) for same in zip(*map(parts, states), strict=True)])
