"""The weights of a program in torch.nn's order: by torch.nn's names, or by shape and value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from cell_verifier.errors import CannotCheckError
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.torch_modules import torch_weights

TORCH_NAME = re.compile(r"(?:(.*)[./])?((?:weight|bias)_(?:ih|hh|hr))(?:_l(\d+)(_reverse)?)?")
"""Prefix, weight, layer and direction in a name such as ``encoder.weight_ih_l0_reverse``."""


@dataclass(frozen=True)
class LayerWeights:
    """The weights of a layer in float64, one entry for each layer and direction.

    Attributes:
        cells: in torch.nn's order.
        num_directions: 1 or 2.
        names: the name of each array in the program -> torch.nn's name.
    """

    cells: tuple[Weights, ...]
    num_directions: int = 1
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_layers(self) -> int:
        return len(self.cells) // self.num_directions

    @property
    def input_size(self) -> int:
        return self.cells[0].ih.shape[-1]

    @property
    def hidden_size(self) -> int:
        return self.cells[0].hh.shape[-1]

    def check_sizes(self) -> None:
        """Raise CannotCheckError if the cells cannot be one layer of ``torch.nn``."""
        for index, cell in enumerate(self.cells):
            below = self.num_directions * self.hidden_size
            inputs = self.input_size if index < self.num_directions else below
            sizes = cell.ih.shape[-1], cell.hh.shape[-1]
            if sizes != (inputs, self.hidden_size):
                layer = index // self.num_directions
                raise CannotCheckError(
                    f"the weights of layer {layer} are for {sizes[0]} inputs and {sizes[1]} units, "
                    f"expected {inputs} and {self.hidden_size}: give one recurrent layer, or "
                    "layers that read one another's outputs"
                )

    def by_torch_names(self) -> dict[str, Tensor]:
        """The weights by torch.nn's parameter names."""
        return torch_weights(self.cells, self.num_directions)


def as_tensor(array: Any) -> Tensor:
    """A tensor on the CPU with an array's values; of a tensor, the tensor without its graph."""
    if isinstance(array, Tensor):
        tensor = array.dequantize() if array.is_quantized else array
        return tensor.detach().cpu()
    return torch.tensor(array)


def cell_weights(
    kind: Kind, ih: Tensor, hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None
) -> Weights:
    """The weights of one cell from (G*H, I), (G*H, H) and (G*H,) each; without a bias, zeros.

    Raises:
        CannotCheckError: the shapes are not those of one cell of this kind.
    """
    gates, rows = len(kind.gates), len(ih)
    hidden = rows // gates
    shapes = [tuple(part.shape) for part in (hh, b_ih, b_hh) if part is not None]
    right = [(rows, hidden)] + [(rows,)] * (len(shapes) - 1)
    if rows % gates or shapes != right:
        raise CannotCheckError(
            f"the weights have shapes {tuple(ih.shape)} and {', '.join(map(str, shapes))}, but "
            f"{kind.title} has (G*H, I), (G*H, H) and (G*H,) with G={gates}; check --against"
        )
    zeros = torch.zeros(rows, dtype=torch.float64)
    b_ih, b_hh = (zeros if bias is None else bias for bias in (b_ih, b_hh))
    ih, hh, b_ih, b_hh = (
        part.detach().double().unflatten(0, (gates, hidden)) for part in (ih, hh, b_ih, b_hh)
    )
    return Weights(ih, hh, b_ih, b_hh, torch.zeros_like(hh))


def by_torch_names(kind: Kind, arrays: Mapping[str, Any]) -> LayerWeights | None:
    """The weights whose names are torch.nn's, with any prefix; None if there are none.

    Raises:
        CannotCheckError: they are the weights of several layers, or of another kind.
    """
    found: dict[str, dict[tuple[int, bool, str], tuple[str, Tensor]]] = {}
    for name, array in arrays.items():
        if match := TORCH_NAME.fullmatch(name):
            prefix, weight, layer, reverse = match.groups()
            key = int(layer or 0), bool(reverse), weight
            found.setdefault(prefix or "", {})[key] = name, as_tensor(array)
    if not found:
        return None
    for prefix, group in list(found.items()):
        others = [
            each for other, part in found.items() if other != prefix for each in part.values()
        ]
        if prefix and all(
            any(array.equal(same) for _, same in others) for _, array in group.values()
        ):
            del found[prefix]  # the same weights by their other names
    if len(found) > 1:
        raise CannotCheckError(
            f"there are weights of several layers: {', '.join(sorted(found))}; give those of one "
            "layer, or export the recurrent layer alone"
        )
    (parts,) = found.values()
    if any(weight == "weight_hr" for _, _, weight in parts):
        raise CannotCheckError("there is a weight_hr: an LSTM with proj_size cannot be verified")
    return _assemble(kind, parts)


def _assemble(
    kind: Kind, parts: Mapping[tuple[int, bool, str], tuple[str, Tensor]]
) -> LayerWeights:
    """The weights of a layer from its arrays by layer, direction and name."""
    places = sorted({(layer, reverse) for layer, reverse, _ in parts})
    directions = 2 if any(reverse for _, reverse in places) else 1
    complete = [(n, d == 1) for n in range(len(places) // directions) for d in range(directions)]
    missing = [
        weight
        for place in complete
        for weight in ("weight_ih", "weight_hh")
        if (*place, weight) not in parts
    ]
    if places != complete or missing:
        raise CannotCheckError(
            f"the weights {', '.join(name for name, _ in parts.values())} are not a whole layer: "
            "give weight_ih and weight_hh of every layer and direction"
        )
    cells, names = [], {}
    for layer, reverse in complete:
        fields = []
        for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            name, array = parts.get((layer, reverse, weight), ("", None))
            fields.append(array)
            if name:
                names[name] = f"{weight}_l{layer}{'_reverse' if reverse else ''}"
        ih, hh, b_ih, b_hh = fields
        assert ih is not None
        assert hh is not None
        cells.append(cell_weights(kind, ih, hh, b_ih, b_hh))
    return LayerWeights(tuple(cells), directions, names)


def by_shape(kind: Kind, arrays: Mapping[str, Tensor]) -> Iterator[LayerWeights]:
    """Every way to read unnamed arrays as the weights of one layer in one direction.

    A matrix may be transposed, its gates may have any order, one vector may be the sum of both
    biases, and one array may hold both. Which way it is, only the values of the outputs show.
    """
    gates = len(kind.gates)
    plain = {name: array.squeeze() for name, array in arrays.items() if array.is_floating_point()}
    matrices = {name: array for name, array in plain.items() if array.dim() == 2}
    for hh_name, hh in _oriented(matrices, gates):
        if hh.shape[0] != gates * hh.shape[1]:
            continue
        for ih_name, ih in _oriented(matrices, gates):
            if ih_name == hh_name or ih.shape[0] != hh.shape[0]:
                continue
            for biases, bias_names in _biases(plain, hh.shape[0], (ih_name, hh_name)):
                for order in permutations(range(gates)):
                    letters = "".join(kind.letters[gate] for gate in order)
                    names = {ih_name: "weight_ih", hh_name: "weight_hh", **bias_names}
                    rows = f" (rows {letters})" if gates > 1 else ""
                    read = [_in_torch_order(part, order, gates) for part in (ih, hh, *biases)]
                    cell = cell_weights(kind, read[0], read[1], read[2], read[3])  # type: ignore[arg-type]
                    yield LayerWeights((cell,), 1, {n: f"{t}{rows}" for n, t in names.items()})


def _oriented(matrices: Mapping[str, Tensor], gates: int) -> Iterator[tuple[str, Tensor]]:
    """Each matrix as it is and transposed, where its rows can be those of the gates."""
    for name, matrix in matrices.items():
        for oriented in (matrix, matrix.T):
            if oriented.shape[0] % gates == 0:
                yield name, oriented


def _biases(
    arrays: Mapping[str, Tensor], rows: int, taken: tuple[str, ...]
) -> Iterator[tuple[tuple[Tensor | None, Tensor | None], dict[str, str]]]:
    """Every pair of biases that the arrays can be, with their names."""
    vectors = {name: array for name, array in arrays.items() if array.shape == (rows,)}
    for first, b_ih in vectors.items():
        for second, b_hh in vectors.items():
            if first != second:
                yield (b_ih, b_hh), {first: "bias_ih", second: "bias_hh"}
    for name, array in arrays.items():
        if name not in taken and array.numel() == 2 * rows:
            b_ih, b_hh = array.reshape(2, rows)
            yield (b_ih, b_hh), {name: "bias_ih and bias_hh"}
    if len(vectors) == 1:
        ((name, vector),) = vectors.items()
        yield (vector, None), {name: "bias_ih + bias_hh"}
    if not vectors:
        yield (None, None), {}


def _in_torch_order(part: Tensor | None, order: tuple[int, ...], gates: int) -> Tensor | None:
    """Rows whose gates have ``order`` (of torch.nn's gates), in torch.nn's order."""
    if part is None:
        return None
    blocks: Tensor = part.unflatten(0, (gates, -1))
    return blocks[[order.index(gate) for gate in range(gates)]].flatten(0, 1)
