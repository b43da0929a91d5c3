"""Map the parameters of a multi-layer module to those of a layer of one cell."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from cell_verifier.parameters.correspondence import Correspondence
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.probes import HIDDEN_SIZE
from cell_verifier.reference.simulate import LayerConfig

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Arrangement:
    """Which parameters of a multi-layer module correspond to which of the single cell's.

    Attributes:
        base: the correspondence of the single cell with torch.nn's.
        names: for each cell, in torch.nn's order, the single cell's name -> the multi-layer name.
        input_sizes: the input size of each cell.
        hidden_size: that of every cell.
    """

    base: Correspondence
    names: tuple[Mapping[str, str], ...]
    input_sizes: tuple[int, ...]
    hidden_size: int = HIDDEN_SIZE

    def read(self, parameters: Parameters) -> list[Weights]:
        """The weights of each cell, as views of the user's parameters.

        Raises:
            ValueError, RuntimeError, IndexError: the shapes do not match.
        """
        return [
            self.base.read(
                {base: parameters[name] for base, name in names.items()}, size, self.hidden_size
            )
            for names, size in zip(self.names, self.input_sizes, strict=True)
        ]

    def has_torch_input_sizes(self, config: LayerConfig) -> bool:
        """Whether every later layer has the input size of torch.nn's, D*H."""
        later = self.input_sizes[config.num_directions :]
        return all(size == config.num_directions * self.hidden_size for size in later)


def arrangements(
    base: Correspondence,
    base_names: Sequence[str],
    parameters: Parameters,
    config: LayerConfig,
    input_size: int,
    hidden_size: int = HIDDEN_SIZE,
) -> Iterator[Arrangement]:
    """Every arrangement whose shapes match, the most likely first."""
    directions = config.num_directions
    later_cells = config.num_cells - directions
    for names in _partitions(list(base_names), list(parameters), config):
        for later_size in dict.fromkeys((directions * hidden_size, hidden_size, input_size)):
            input_sizes = (input_size,) * directions + (later_size,) * later_cells
            arrangement = Arrangement(base, names, input_sizes, hidden_size)
            try:
                arrangement.read(parameters)
            except (ValueError, RuntimeError, IndexError):  # the shapes do not match
                continue
            yield arrangement


def _partitions(
    base: list[str], names: list[str], config: LayerConfig
) -> Iterator[tuple[Mapping[str, str], ...]]:
    cells, each = config.num_cells, len(base)
    torch_names = [
        {
            name: name.removesuffix("_l0") + f"_l{index // config.num_directions}"
            + ("_reverse" if index % config.num_directions else "")
            for name in base
        }
        for index in range(cells)
    ]  # fmt: skip
    if all(name in names for cell in torch_names for name in cell.values()):
        yield tuple(torch_names)
        return
    if len(names) != cells * each:
        return
    numbered = [_numbered(base, names, index) for index in range(cells)]
    if config.num_directions == 1 and all(len(cell) == each for cell in numbered):
        yield tuple(numbered)
    index_of: tuple[Callable[[int, int], int], ...] = (
        lambda cell, parameter: cell * each + parameter,  # all parameters of a cell, cell by cell
        lambda cell, parameter: parameter * cells + cell,  # one list of cells per parameter
    )
    for index in index_of:
        for order in _cell_orders(config):
            yield tuple(
                {name: names[index(cell, n)] for n, name in enumerate(base)} for cell in order
            )


def _numbered(base: list[str], names: list[str], layer: int) -> dict[str, str]:
    """The names of a later layer that differ from the first layer's only in the layer's number."""
    found = {}
    for name in base:
        for number in re.finditer(r"\d+", name):
            before, after = name[: number.start()], name[number.end() :]
            other = f"{before}{int(number[0]) + layer}{after}"
            if other in names:
                found[name] = other
    return found


def _cell_orders(config: LayerConfig) -> Iterator[list[int]]:
    """The index in the user's order of each cell in torch.nn's: by layer, or by direction."""
    layers, directions = config.num_layers, config.num_directions
    yield list(range(layers * directions))
    if layers > 1 and directions > 1:
        yield [d * layers + n for n in range(layers) for d in range(directions)]
