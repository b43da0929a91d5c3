"""How the user's parameters correspond to torch.nn's: which rows of which are which gate's."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cell_verifier.parameters.layouts import Form
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
    """One parameter's part that is (a part of) one of torch.nn's.

    Attributes:
        parameter: its name in the user's module.
        form: its layout.
        target: ``ih``, ``hh``, ``b_ih``, ``b_hh``, or ``peephole``.
        gates: the gates that its rows are, by index.
    """

    parameter: str
    form: Form
    target: str
    gates: tuple[int, ...]

    def read(self, parameter: Tensor, input_size: int, hidden_size: int) -> Tensor:
        """(gates, H, in), of a bias (gates, H)."""
        rows = self.form.gate_rows(parameter, side=int(self.target == "b_hh"))
        if not self.form.parts:
            return rows
        widths = {"x": input_size, "h": hidden_size, "1": 1}
        wanted = {"ih": "x", "hh": "h", "peephole": "h"}.get(self.target, "1")
        start = 0
        for part in self.form.parts:
            if part == wanted:
                rows = rows[..., start : start + widths[part]]
            start += widths[part]
        if start != self.form.gate_rows(parameter).size(-1):
            raise ValueError(f"{self.parameter} is not {start} wide")
        return rows.squeeze(-1) if wanted == "1" else rows


@dataclass(frozen=True)
class Correspondence:
    """Where each of torch.nn's weights is found among the user's parameters.

    Attributes:
        placements: one or more per parameter.
        extra: parameters that torch.nn has no place for.
        note: what was assumed.
    """

    kind: Kind
    placements: tuple[Placement, ...]
    extra: tuple[str, ...] = ()

    def read(self, parameters: Mapping[str, Tensor], input_size: int, hidden_size: int) -> Weights:
        """torch.nn's weights, as views of the user's parameters: gradients flow into those."""
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

    def biases(self) -> int:
        """How many biases the most biased gate has: 0, 1 or 2."""
        targets = {placed.target for placed in self.placements}
        return len(targets & {"b_ih", "b_hh"})

    def parameters(self) -> tuple[str, ...]:
        """The parameters that have a place, each once."""
        return tuple(dict.fromkeys(placed.parameter for placed in self.placements))

    def lines(self) -> dict[str, str]:
        """The user's names -> torch.nn's, in the words that ``verify(weights=...)`` takes."""
        said: dict[str, list[str]] = {}
        for placed in self.placements:
            whole = placed.gates == tuple(range(len(self.kind.gates)))
            gates = "" if whole else f"[{', '.join(self.kind.gates[g] for g in placed.gates)}]"
            said.setdefault(placed.parameter, []).append(TORCH_NAMES[placed.target] + gates)
        lines = {}
        for name, targets in said.items():
            form = next(p.form for p in self.placements if p.parameter == name)
            order = {"x": "weight_ih", "h": "weight_hh", "1": "bias_ih"}
            ranked = [order[part] for part in form.parts]
            targets.sort(key=lambda target: _rank(target, ranked))
            lines[name] = " | ".join(targets) + form.words()
        return lines


def _rank(target: str, order: list[str]) -> int:
    return next((n for n, start in enumerate(order) if target.startswith(start)), len(order))


def _diagonal(row: Tensor) -> Tensor:
    """A peephole is one weight a unit, or a full matrix."""
    return torch.diag_embed(row) if row.dim() == 1 else row


def named_parameters(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters; a tensor used under two names is listed once."""
    return dict(module.named_parameters())
