"""The correspondence between the user's parameters and torch.nn's, gate by gate."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_verifier.parameters.layouts import ParameterLayout
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind

TARGETS = ("ih", "hh", "b_ih", "b_hh", "peephole")
TORCH_NAMES = {
    "ih": "weight_ih",
    "hh": "weight_hh",
    "b_ih": "bias_ih",
    "b_hh": "bias_hh",
    "peephole": "peephole",
}


@dataclass(frozen=True)
class Placement:
    """A parameter, or a part of one, that is a part of one of torch.nn's.

    Attributes:
        parameter: its name in the user's module.
        layout: the layout of the parameter.
        target: ``ih``, ``hh``, ``b_ih``, ``b_hh``, or ``peephole``.
        gates: indices of the gates that its rows belong to.
    """

    parameter: str
    layout: ParameterLayout
    target: str
    gates: tuple[int, ...]

    def read(self, parameter: Tensor, input_size: int, hidden_size: int) -> Tensor:
        """The part of the user's parameter: (gates, H, in), of a bias (gates, H).

        Raises:
            ValueError: the parameter has another width.
        """
        rows = self.layout.gate_rows(parameter, side=int(self.target == "b_hh"))
        if not self.layout.parts:
            return rows
        widths = {"x": input_size, "h": hidden_size, "1": 1}
        wanted = {"ih": "x", "hh": "h", "peephole": "h"}.get(self.target, "1")
        start = 0
        for part in self.layout.parts:
            if part == wanted:
                rows = rows[..., start : start + widths[part]]
            start += widths[part]
        if start != self.layout.gate_rows(parameter).size(-1):
            raise ValueError(f"{self.parameter} is not {start} wide")
        return rows.squeeze(-1) if wanted == "1" else rows


@dataclass(frozen=True)
class Correspondence:
    """Which parts of the user's parameters are which of torch.nn's.

    Attributes:
        kind: the recurrence.
        placements: one or more per parameter.
        extra: names of the parameters without a counterpart in torch.nn.
    """

    kind: Kind
    placements: tuple[Placement, ...]
    extra: tuple[str, ...] = ()

    def read(self, parameters: Mapping[str, Tensor], input_size: int, hidden_size: int) -> Weights:
        """torch.nn's weights as views of the user's parameters, so that these receive gradients."""
        some = next(iter(parameters.values()))
        gates = len(self.kind.gates)
        shapes = {
            "ih": (hidden_size, input_size),
            "hh": (hidden_size, hidden_size),
            "b_ih": (hidden_size,),
            "b_hh": (hidden_size,),
            "peephole": (hidden_size, hidden_size),
        }
        read = []
        for target in TARGETS:
            rows = [some.new_zeros(shapes[target]) for _ in range(gates)]
            for placed in self.placements:
                if placed.target == target:
                    part = placed.read(parameters[placed.parameter], input_size, hidden_size)
                    for gate, row in zip(placed.gates, part, strict=True):
                        rows[gate] = _diagonal(row) if target == "peephole" else row
            read.append(torch.stack(rows))
        return Weights(*read)

    def bias_count(self) -> int:
        """How many of torch.nn's two biases the cell has: 0, 1 or 2."""
        targets = {placed.target for placed in self.placements}
        return len(targets & {"b_ih", "b_hh"})

    def as_mapping(self) -> dict[str, str]:
        """The user's names -> torch.nn's, in the syntax of ``verify(weights=...)``."""
        targets_of: dict[str, list[str]] = {}
        for placed in self.placements:
            whole = placed.gates == tuple(range(len(self.kind.gates)))
            gates = "" if whole else f"[{', '.join(self.kind.gates[g] for g in placed.gates)}]"
            targets_of.setdefault(placed.parameter, []).append(TORCH_NAMES[placed.target] + gates)
        mapping = {}
        for name, targets in targets_of.items():
            layout = next(p.layout for p in self.placements if p.parameter == name)
            order = {"x": "weight_ih", "h": "weight_hh", "1": "bias_ih"}
            ranked = [order[part] for part in layout.parts]
            targets.sort(key=lambda target: _rank(target, ranked))
            mapping[name] = " | ".join(targets) + layout.suffix()
        return mapping


def _rank(target: str, order: list[str]) -> int:
    return next((n for n, start in enumerate(order) if target.startswith(start)), len(order))


def _diagonal(row: Tensor) -> Tensor:
    """A peephole weight as a matrix (H, H); one weight per unit is its diagonal."""
    return torch.diag_embed(row) if row.dim() == 1 else row


def named_parameters(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters; a parameter with two names is listed once."""
    return dict(module.named_parameters())
