"""How the user's arrays hold torch.nn's tensors, and the conversion in both directions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cell_verifier.backward.derivation import ForwardVariant
from cell_verifier.backward.passes import Tensors

Time = Literal["step", "time first", "batch first"]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a test input. The usual ones all differ, so that a shape identifies its axes."""

    time: int = 3
    batch: int = 5
    input_size: int = 2
    hidden_size: int = 4


@dataclass(frozen=True)
class Layout:
    """The layout of the user's arrays.

    Attributes:
        roles: what each argument is: ``x``, ``h``, ``c``, or the name of a weight or bias, with
            the gate's letter in brackets if it is the weight of one gate.
        variant: the recurrence of the forward pass.
        gate_order: for each of torch.nn's gates, its position in the user's stacked weights.
        time: a single time step, or which axis of a sequence is time.
        columns: whether weights have their input axis first, (I, G*H), as in ``x @ W``.
        hidden_first: whether a joined weight has the columns of h before those of x.
        samples_last: whether samples are columns, (I, B), and a bias is (G*H, 1).
        layer_axis: whether the state has an axis for layers, (1, B, H), as torch.nn's layers.
    """

    roles: tuple[str, ...]
    variant: ForwardVariant
    gate_order: tuple[int, ...] = ()
    time: Time = "step"
    columns: bool = False
    hidden_first: bool = False
    samples_last: bool = False
    layer_axis: bool = False

    @property
    def by_gate(self) -> bool:
        """Whether every gate has weights of its own."""
        return any("[" in role for role in self.roles)

    @property
    def letters(self) -> str:
        """The gates in the order of the user's stacked weights."""
        letters = self.variant.letters
        order = sorted(range(len(letters)), key=self.gate_order.__getitem__)
        return "".join(letters[n] for n in order)

    def to_user(self, role: str, tensors: Tensors) -> Tensor:
        """The user's array for one role; for inputs and for gradients with respect to them."""
        name, _, gate = role.rstrip("]").partition("[")
        if name in ("x", "h", "c"):
            data = self.data_to_user(tensors[name])
            return data[None] if self.layer_axis and name != "x" else data
        if name.startswith("bias"):
            part = self._select_gates(tensors["bias_ih" if name == "bias" else name], gate)
            return part[:, None] if self.samples_last else part
        if name == "weight":
            parts = [self._select_gates(tensors[n], gate) for n in ("weight_ih", "weight_hh")]
            part = torch.cat(parts[::-1] if self.hidden_first else parts, dim=1)
        else:
            part = self._select_gates(tensors[name], gate)
        return part.T if self.columns else part

    def data_to_user(self, part: Tensor) -> Tensor:
        """A sequence (T, B, F) or a state (B, F) in the user's layout."""
        if part.dim() == 3:
            if self.time == "step":
                part = part[0]
            elif self.time == "batch first":
                part = part.transpose(0, 1)
        return part.transpose(-1, -2) if self.samples_last else part

    def data_from_user(self, part: Tensor) -> Tensor:
        """The inverse of ``data_to_user``; a step is a sequence of one step."""
        if self.samples_last:
            part = part.transpose(-1, -2)
        return part.transpose(0, 1) if self.time == "batch first" and part.dim() == 3 else part

    def _select_gates(self, part: Tensor, gate: str) -> Tensor:
        """One gate of (G, H, ...), or all of them stacked in the user's order, (G*H, ...)."""
        if gate:
            return part[self.variant.letters.index(gate)]
        return part[[self.variant.letters.index(each) for each in self.letters]].flatten(0, 1)

    def describe(self) -> str:
        """The layout in words, for the report."""
        parts = ["one time step" if self.time == "step" else f"a sequence, {self.time}"]
        if self.samples_last:
            parts.append("samples are columns")
        parts.append("weights with the input axis first" if self.columns else "torch.nn's weights")
        if "weight" in self.roles:
            parts.append(f"joined as {'[h, x]' if self.hidden_first else '[x, h]'}")
        if self.by_gate:
            parts.append("weights of its own for every gate")
        elif len(self.letters) > 1:
            parts.append(f"gates in the order {', '.join(self.letters)}")
        return "; ".join(parts)


def draw_inputs(
    variant: ForwardVariant, roles: tuple[str, ...], sizes: Sizes, *, seed: int = 0
) -> Tensors:
    """Random inputs, state, weights and biases; zero where the forward pass takes none."""
    normal = random_normal(seed)
    gates, hidden = len(variant.letters), sizes.hidden_size
    names = {role.partition("[")[0] for role in roles}
    tensors = {
        "x": normal(sizes.time, sizes.batch, sizes.input_size),
        "h": normal(sizes.batch, hidden),
        "c": normal(sizes.batch, hidden),
        "weight_ih": 0.6 * normal(gates, hidden, sizes.input_size),
        "weight_hh": 0.6 * normal(gates, hidden, hidden),
        "bias_ih": normal(gates, hidden),
        "bias_hh": normal(gates, hidden),
    }
    held = names | ({"bias_ih"} if "bias" in names else set())
    optional = ("h", "c", "bias_ih", "bias_hh")
    return {
        name: torch.zeros_like(part) if name in optional and name not in held else part
        for name, part in tensors.items()
    }


def random_normal(seed: int) -> Callable[..., Tensor]:
    """A function that draws float64 tensors of a shape."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return normal
