"""The base class of all cells: project the input, compute the gates, update the state.

A cell computes one time step. ``unroll.py`` applies it to a sequence; ``recurrent_stack.py``
combines cells into layers and directions.

Letters in shapes: T time, B batch, I input_size, H hidden_size, G number of gates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from scratch_cells.linears import draw_uniform, linear
from scratch_cells.parameters import TorchNamedModule
from scratch_cells.validation import check_cell_call
from shared_interface import State


class Cell(TorchNamedModule, ABC):
    """One time step of a recurrent network: two ``nn.Linear``s, named gates, and a state update.

    A custom cell defines three things::

        class MinimalGatedCell(Cell):
            class Gates(NamedTuple):  # one field per gate, in the order of the weight rows
                forget: Tensor
                candidate: Tensor

            def gates(self, projected, h): ...  # (B, G*H), (B, H) -> Gates
            def update(self, gates, h): ...     # Gates, (B, H)    -> h'

    ``layer_of(MinimalGatedCell)(input_size, hidden_size, ...)`` is then a layer that supports
    several layers, both directions, packed sequences, tracing and training, like the layers of
    this package. A cell whose state has more parts than h lists them in ``state_names``; its
    ``gates`` and ``update`` take the state as a tuple, and ``update`` returns one.

    Args:
        input_size: number of features of x at one time step, I.
        hidden_size: number of units, H.
        bias: whether both ``nn.Linear``s have a bias.
        device, dtype: device and dtype of the parameters.
        output_size: size of h, if it differs from ``hidden_size``.

    Shape:
        x: (B, I) or (I,). State: (B, H) or (H,) for each part; zeros if not given.

    Raises:
        RuntimeError, ValueError: at the call, if x or the state has a wrong shape; the messages
            are those of torch.nn's cells.
    """

    Gates: ClassVar[type[tuple[Tensor, ...]]]
    """NamedTuple class with one field per gate, in the order of the weight rows."""

    state_names: ClassVar[tuple[str, ...]] = ("hidden",)
    """Names of the parts of the state, the hidden state first."""

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
        self.provider: tuple[TorchNamedModule, ...] = ()
        """The layer, while it provides a weight of this cell; in a tuple: not a submodule."""
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.output_size = hidden_size if output_size is None else output_size
        self.make_weights(device, dtype)
        self.register_torch_names()
        self.reset_parameters()

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        """Create the weights without initializing them."""
        rows = len(self.Gates._fields) * self.hidden_size  # type: ignore[attr-defined]  # a NamedTuple
        # W_ih (G*H, I) and b_ih; W_hh (G*H, H) and b_hh
        self.input_to_hidden = linear(self.input_size, rows, self.bias, device, dtype)
        self.hidden_to_hidden = linear(self.output_size, rows, self.bias, device, dtype)

    def project(self, x: Tensor) -> Tensor:
        """Compute W_ih x + b_ih for one time step, or for all steps of a sequence at once."""
        projected: Tensor = self.input_to_hidden(x)  # (..., I) -> (..., G*H)
        return projected

    @abstractmethod
    def gates(self, projected: Tensor, state: Any) -> Any:
        """Compute the activated gates of one time step.

        Args:
            projected: W_ih x + b_ih, (B, G*H).
            state: the state before this step, (B, size) each part.

        Returns:
            A ``Gates`` tuple, (B, H) each gate.
        """

    @abstractmethod
    def update(self, gates: Any, state: Any) -> Any:
        """Compute the state after this step from the gates and the state before it."""

    def step(self, projected: Tensor, state: Any) -> Any:
        """Compute one time step: projected input and the state before -> the state after.

        Layers and ``trace`` call it for every time step, so a subclass may override it.
        """
        return self.update(self.gates(projected, state), state)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Compute one time step: x and the state before -> the state after."""
        check_cell_call(type(self).__name__, self.input_size, self.state_sizes, input, hx)
        state = self.zero_state(input) if hx is None else hx
        if not self.provider and self.share_weights():  # no weight of its own to compute with
            return self.step(self.project(input), state)
        with self.computing_with_own_values():
            return self.step(self.project(input), state)

    def computing_with_own_values(self) -> Any:
        """As the base class; a layer with a parametrized weight provides the weight's value."""
        if self.provider:
            return self.provider[0].computing_with_own_values()
        return super().computing_with_own_values()

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Size of each part of the state, h first."""
        return (self.output_size,) + (self.hidden_size,) * (len(self.state_names) - 1)

    def zero_state(self, input: Tensor) -> State:
        """Zeros, as the initial state for an ``input`` of shape (B, I) or (I,)."""
        return whole([input.new_zeros(*input.shape[:-1], size) for size in self.state_sizes])

    def torch_names(self) -> dict[str, str]:
        return {
            "weight_ih": "input_to_hidden.weight",
            "weight_hh": "hidden_to_hidden.weight",
            "bias_ih": "input_to_hidden.bias",
            "bias_hh": "hidden_to_hidden.bias",
        }

    def reset_parameters(self) -> None:
        """Initialize every weight in torch.nn's order, so that a seed gives torch.nn's values."""
        for _, weight in self.named_weights():
            draw_uniform(weight, self.hidden_size)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


# A state is h alone, or a tuple whose first part is h. These four functions handle both forms.


def parts(state: State) -> tuple[Tensor, ...]:
    """Return the parts of a state as a tuple, h first."""
    return tuple(state) if isinstance(state, tuple | list) else (state,)


def whole(state_parts: tuple[Tensor, ...] | list[Tensor]) -> State:
    """Return the state made of these parts: h itself if h is the only part, else a tuple."""
    return state_parts[0] if len(state_parts) == 1 else tuple(state_parts)


def hidden(state: State) -> Tensor:
    """Return h, the first part of a state."""
    return state[0] if isinstance(state, tuple) else state


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply ``function`` to each part of the states, like ``map``, and return a state."""
    return whole([function(*same_part) for same_part in zip(*map(parts, states), strict=True)])
