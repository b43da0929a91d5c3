"""torch.nn's values in a layer of several cells: inputs, states and outputs of each cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from cell_verifier.localisation.terms import compute_terms
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import LayerConfig

Cell = tuple[int, int]
"""A layer and a direction, both counted from 0."""


@dataclass(frozen=True)
class Field:
    """One quantity, with its value in each cell.

    Attributes:
        name: what it is, without the cell.
        values: by cell; the same for all of them if it belongs to the whole layer.
        per_step: whether the first axis of each value is time, in the order of processing.
        of_cell: whether it differs from cell to cell.
    """

    name: str
    values: dict[Cell, Tensor]
    per_step: bool = False
    of_cell: bool = True

    def at(self, cell: Cell, step: int | None) -> Tensor:
        """The value in a cell, at one time step if it has one for each."""
        values = self.values[cell]
        return values[step] if self.per_step and step is not None else values

    def title(self, cell: Cell, config: LayerConfig) -> str:
        """Its name with the cell."""
        return f"{self.name} of {cell_name(cell, config)}" if self.of_cell else self.name


def cell_name(cell: Cell, config: LayerConfig) -> str:
    """A cell in words; layers are counted from 0, as in torch.nn's parameter names."""
    layer, direction = cell
    words = [f"layer {layer}"] if config.num_layers > 1 else []
    if config.num_directions > 1:
        words.append("the reverse direction" if direction else "the forward direction")
    return ", ".join(words) or "the layer"


def compute_fields(
    kind: Kind, weights: Sequence[Weights], probe: Probe, config: LayerConfig
) -> list[Field]:
    """Every quantity of torch.nn's layer that an operation of the user's can have."""
    below, cells = probe.x, _cells(config)
    per_cell: dict[str, dict[Cell, Tensor]] = {}
    for layer in range(config.num_layers):
        outputs = []
        for direction in range(config.num_directions):
            cell = layer, direction
            found = dict(_of_cell(kind, weights[cells.index(cell)], below, probe, cell, config))
            for name, values in found.items():
                per_cell.setdefault(name, {})[cell] = values
            outputs.append(found["the outputs"])
        joined = torch.cat(outputs, -1)
        last = layer == config.num_layers - 1
        passed = joined if last else joined * (1 - config.applied_dropout)
        for cell in [(layer, d) for d in range(config.num_directions)]:
            per_cell.setdefault("the joined outputs", {})[cell] = joined
            per_cell.setdefault("the output", {})[cell] = passed
        below = passed
    fields = [Field(n, v, per_step=n in STEPWISE) for n, v in per_cell.items()]
    whole = {f"{part}_0": values for part, values in zip(kind.state, probe.state, strict=True)}
    for part in kind.state:
        finals = per_cell[f"the final {part}"]
        whole[f"{part}_n"] = torch.stack([finals[cell] for cell in cells])
    whole |= {"the output of the last layer": below, "x": probe.x}
    fields += [Field(n, dict.fromkeys(cells, v), of_cell=False) for n, v in whole.items()]
    return fields


STEPWISE = (
    "the input at each step",
    *(f"{part} {when} each step" for part in "hc" for when in ("before", "after")),
)
"""The quantities with one value for each time step."""

NOT_REVERSED_BACK = "the outputs in reverse order"


def _of_cell(
    kind: Kind, w: Weights, below: Tensor, probe: Probe, cell: Cell, config: LayerConfig
) -> Iterator[tuple[str, Tensor]]:
    layer, direction = cell
    row = layer * config.num_directions + direction
    x = below.flip(0) if direction else below
    state = tuple(part[row] for part in probe.state)
    named = {term.name: term.values for term in compute_terms(kind, w, Probe(x, state)).all}
    yield "the input", below
    yield "the reversed input", below.flip(0)
    yield "the input in the order of processing", x
    yield "the input at each step", x
    h = named["h'"]
    yield "the outputs", h.flip(0) if direction else h
    yield NOT_REVERSED_BACK, h if direction else h.flip(0)
    for part, initial in zip(kind.state, state, strict=True):
        yield f"the initial {part}", initial
        yield f"the final {part}", named[f"{part}'"][-1]
        yield f"{part} before each step", named[part]
        yield f"{part} after each step", named[f"{part}'"]


def _cells(config: LayerConfig) -> list[Cell]:
    return [(n, d) for n in range(config.num_layers) for d in range(config.num_directions)]


@cache
def orders(config: LayerConfig, count: int) -> tuple[tuple[Cell, ...], ...]:
    """The cells that an operation can belong to that runs ``count`` times, in order."""
    layers, directions = range(config.num_layers), range(config.num_directions)
    found = [
        tuple(_cells(config)),
        tuple((n, d) for d in directions for n in layers),
        *(tuple((n, d) for n in layers) for d in directions),
        *(tuple((n, d) for d in directions) for n in layers),
        *(tuple((n, d) for n in layers[1:]) for d in directions),
        *(tuple((n, d) for n in layers[:-1]) for d in directions),
        *(((n, d),) for n in layers for d in directions),
    ]
    return tuple(dict.fromkeys(order for order in found if len(order) == count))
